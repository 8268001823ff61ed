# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# Files of KEY=value lines, read as Docker Compose reads them: `export`, comments, both kinds of quotes, escapes in
# double quotes, $NAME and ${NAME:-default} outside of single quotes, the last of two lines with one key.

dotenv_file=""
dotenv_values=()

# expanded TEXT: with $NAME, ${NAME}, ${NAME-default} and ${NAME:-default} replaced. $$ is a dollar.
expanded() {
    local rest=$1 made="" name value
    while [[ $rest == *'$'* ]]; do
        made+=${rest%%'$'*}
        rest=${rest#*'$'}
        if [[ $rest == '$'* ]]; then
            made+='$'
            rest=${rest#'$'}
        elif [[ $rest =~ ^\{([A-Za-z_][A-Za-z0-9_]*)((:?-)([^}]*))?\} ]]; then
            name=${BASH_REMATCH[1]}
            value=$(value_before "$name")
            if [[ -z $value && -n ${BASH_REMATCH[3]} ]]; then value=${BASH_REMATCH[4]}; fi
            rest=${rest#"${BASH_REMATCH[0]}"}
            made+=$value
        elif [[ $rest =~ ^[A-Za-z_][A-Za-z0-9_]* ]]; then
            name=${BASH_REMATCH[0]}
            made+=$(value_before "$name")
            rest=${rest#"$name"}
        else
            made+='$'
        fi
    done
    printf '%s' "$made$rest"
}

# value_before NAME: what a reference means: the environment, then the lines above.
value_before() {
    local pair found=""
    if [[ -n ${!1+set} ]]; then
        printf '%s' "${!1}"
        return
    fi
    for pair in ${dotenv_values[@]+"${dotenv_values[@]}"}; do
        [[ $pair != "$1="* ]] || found=${pair#*=}
    done
    printf '%s' "$found"
}

dotenv_wrong() { # LINE KEY
    say bad-env "${dotenv_file#"$here"/}" "$1" "$(word "$2")"
}

# unescaped TEXT: what \n, \r, \t, \", \\ and \$ in double quotes mean; a dollar that was escaped becomes $$.
unescaped() {
    local rest=$1 made=""
    while [[ $rest == *\\* ]]; do
        made+=${rest%%\\*}
        rest=${rest#*\\}
        case ${rest:0:1} in
            n) made+=$'\n' ;;
            r) made+=$'\r' ;;
            t) made+=$'\t' ;;
            '$') made+='$$' ;;
            '"' | \\) made+=${rest:0:1} ;;
            *) made+="\\${rest:0:1}" ;;
        esac
        rest=${rest:1}
    done
    printf '%s' "$made$rest"
}

# closing QUOTE TEXT: the length of what stands before the quote that closes; nothing when there is none.
closing() {
    local at=0
    while ((at < ${#2})); do
        if [[ ${2:at:1} == \\ ]]; then
            at=$((at + 2))
            continue
        fi
        if [[ ${2:at:1} == "$1" ]]; then
            printf '%d' "$at"
            return
        fi
        at=$((at + 1))
    done
}

# read_dotenv FILE: into dotenv_values, as KEY=value each. Says what is wrong, a line each, and goes on.
read_dotenv() {
    dotenv_file=$1
    dotenv_values=()
    local line key value end quote number=0
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        line=${line%$'\r'}
        ((number > 1)) || line=${line#$'\xef\xbb\xbf'}
        line=${line#"${line%%[![:space:]]*}"}
        [[ -n $line && $line != '#'* ]] || continue
        [[ ! $line =~ ^export[[:space:]]+ ]] || line=${line#"${BASH_REMATCH[0]}"}
        if [[ ! $line =~ ^([A-Za-z_][A-Za-z0-9_.-]*)[[:space:]]*[=:][[:space:]]* ]]; then
            dotenv_wrong "$number" env-no-equals
            continue
        fi
        key=${BASH_REMATCH[1]}
        value=${line#"${BASH_REMATCH[0]}"}
        quote=${value:0:1}
        if [[ $quote == '"' || $quote == "'" ]]; then
            value=${value:1}
            end=$(closing "$quote" "$value")
            while [[ -z $end ]] && IFS= read -r line; do
                number=$((number + 1))
                value+=$'\n'${line%$'\r'}
                end=$(closing "$quote" "$value")
            done
            if [[ -z $end ]]; then
                dotenv_wrong "$number" env-no-quote
                continue
            fi
            value=${value:0:end}
            if [[ $quote == "'" ]]; then value=${value//"\\'"/"'"}; else value=$(expanded "$(unescaped "$value")"); fi
        else
            value=${value%%[[:space:]]#*}
            value=${value%"${value##*[![:space:]]}"}
            value=$(expanded "$value")
        fi
        dotenv_values+=("$key=$value")
    done <"$1"
}

# value_of FILE KEY: the last one counts.
value_of() {
    [[ $dotenv_file == "$1" ]] || read_dotenv "$1" >/dev/null
    local pair found=""
    for pair in ${dotenv_values[@]+"${dotenv_values[@]}"}; do
        [[ $pair != "$2="* ]] || found=${pair#*=}
    done
    printf '%s' "$found"
}
