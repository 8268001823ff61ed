#!/usr/bin/env bash
# The steps of a release, one by one; .github/workflows/release.yml calls them for a tag v<version>.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

images=(audio bot)
architectures=(amd64 arm64)

usage() {
    cat <<'TEXT'
Usage: scripts/release.sh STEP

  check           the tag is the version of pyproject.toml, and CHANGELOG.md has a dated section for it
  notes           print that section
  push ARCH       build the images for amd64 or arm64 (this machine's) and push them as <version>-<ARCH>
  join            make <version> and latest of the pushed architectures
  publish         make the GitHub release, with the notes and dist/*.cdx.json (`make sbom`)

Environment: TAG (v0.2.0), and for the last three: REPOSITORY (owner/name on GitHub), REVISION (commit), ACTOR and
GH_TOKEN (who pushes). Without TAG, `notes` and `check` take the version of pyproject.toml.
TEXT
}

fail() {
    printf 'release.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

project_version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml
}

# Print the body of the section "## [version] - date" of CHANGELOG.md.
section() {
    awk -v head="## [$1] - " '
        index($0, head) == 1 { inside = 1; next }
        inside && /^## / { exit }
        inside { print }
    ' CHANGELOG.md | sed -e '/./,$!d'
}

check() {
    [[ $version == "$(project_version)" ]] || fail "the tag says $version, pyproject.toml says $(project_version)"
    grep -qE "^## \[${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
        fail "CHANGELOG.md has no line '## [$version] - YYYY-MM-DD'"
    [[ -n $(section "$version") ]] || fail "CHANGELOG.md has nothing under $version"
    printf 'Version %s is ready for its tag.\n' "$version"
}

# Registries take lower case only.
registry() {
    : "${REPOSITORY:?owner/name of the repository on GitHub}"
    printf 'ghcr.io/%s' "${REPOSITORY,,}"
}

sign_in() {
    : "${ACTOR:?who pushes}" "${GH_TOKEN:?the token to push with}"
    docker login ghcr.io --username "$ACTOR" --password-stdin <<<"$GH_TOKEN"
}

# Natively on each architecture: under emulation the byte-compiling of the dependencies takes half an hour.
push() {
    local architecture=$1 image
    [[ " ${architectures[*]} " == *" $architecture "* ]] || fail "no such architecture: $architecture" 2
    : "${REVISION:?the commit that is built}"
    sign_in
    for image in "${images[@]}"; do
        docker buildx build --push --provenance=false --platform "linux/$architecture" \
            --file "docker/Dockerfile.$image" --tag "$(registry)/$image:$version-$architecture" \
            --build-arg "VERSION=$version" --build-arg "REVISION=$REVISION" \
            --label "org.opencontainers.image.source=https://github.com/$REPOSITORY" .
    done
}

join() {
    local image architecture parts
    sign_in
    for image in "${images[@]}"; do
        parts=()
        for architecture in "${architectures[@]}"; do
            parts+=("$(registry)/$image:$version-$architecture")
        done
        docker buildx imagetools create --tag "$(registry)/$image:$version" --tag "$(registry)/$image:latest" "${parts[@]}"
    done
}

publish() {
    : "${REPOSITORY:?owner/name of the repository on GitHub}"
    section "$version" | gh release create "v$version" --repo "$REPOSITORY" --verify-tag --title "$version" \
        --notes-file - dist/*.cdx.json
}

step=${1:-}
version=${TAG:-v$(project_version)}
version=${version#v}
case $step in
    -h | --help) usage ;;
    check | join | publish) "$step" ;;
    notes) section "$version" ;;
    push) push "${2:-}" ;;
    *)
        usage >&2
        exit 2
        ;;
esac
