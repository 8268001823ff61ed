# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # its parts share their variables
# All texts that deploy.sh says, in Argentine Spanish and, where LOCALE begins with `en`, in English.

# word KEY [ARGUMENT...]: print the text, without a line's end.
word() {
    local es en
    case $1 in
        error) es='Error: %s' en='Error: %s' ;;
        try-help) es='%s Probá con --help.' en='%s See --help.' ;;
        no-value) es='falta el valor después de %s.' en='%s needs a value.' ;;
        unknown-option) es='no conozco la opción %s.' en='there is no option %s.' ;;
        want-seconds) es='--timeout quiere segundos, no «%s».' en='--timeout wants seconds, not "%s".' ;;
        bad-overlay) es='«%s» no es el nombre de un overlay.' en='"%s" is not the name of an overlay.' ;;
        delete-data-alone) es='--delete-data va con --uninstall.' en='--delete-data goes with --uninstall.' ;;
        unknown-operator) es='--use-existing no conoce «%s». Hay: %s.' en='--use-existing does not know "%s". There are: %s.' ;;
        step-failed) es='Falló el paso %d, «%s».\nPara ver por qué:' en='Step %d, "%s", failed.\nTo see why:' ;;
        same-again)
            es='Cuando esté arreglado, corré el mismo comando otra vez: sigue desde lo que ya está.'
            en='When it is mended, run the same command again: it goes on from what is there.'
            ;;
        missing) es='Falta esto antes de empezar:' en='This is missing before it can begin:' ;;
        cluster) es='clúster: %s (%s), overlay: %s' en='cluster: %s (%s), overlay: %s' ;;
        ask-deploy) es='¿Desplegar en «%s» (%s)? [s/N] ' en='Deploy into "%s" (%s)? [y/N] ' ;;
        ask-remove) es='¿Quitar ButakeroMusicBot de «%s» (%s)? [s/N] ' en='Remove ButakeroMusicBot from "%s" (%s)? [y/N] ' ;;
        ask-context)
            es='Esto borra todos los datos en «%s» (%s). Escribí el nombre del contexto para seguir: '
            en='This deletes all data in "%s" (%s). Type the name of the context to go on: '
            ;;
        not-confirmed)
            es='no se confirmó: no se cambió nada. (Sin terminal: --yes.)'
            en='not confirmed: nothing was changed. (Without a terminal: --yes.)'
            ;;
        other-context)
            es='«%s» no es el contexto: no se borró nada. (Sin terminal: --yes --context NOMBRE.)'
            en='"%s" is not the context: nothing was deleted. (Without a terminal: --yes --context NAME.)'
            ;;
        no-tool) es='no encuentro %s en el PATH: instalalo.' en='%s is not in the PATH: install it.' ;;
        no-context) es='kubectl no conoce el contexto «%s».' en='kubectl does not know the context "%s".' ;;
        no-answer)
            es='el clúster de kubectl (contexto «%s») no responde: %s'
            en='the cluster of kubectl (context "%s") does not answer: %s'
            ;;
        old-cluster) es='el clúster es %s; hace falta %s o más nuevo.' en='the cluster is %s; %s or newer is needed.' ;;
        no-rights)
            es='no tenés permiso para instalar operadores en este clúster (clusterroles).'
            en='you may not install operators in this cluster (clusterroles).'
            ;;
        no-overlay) es='no existe k8s/overlays/%s. Hay: %s' en='there is no k8s/overlays/%s. There are: %s' ;;
        overlay-broken) es='k8s/overlays/%s no se puede armar: %s' en='k8s/overlays/%s cannot be rendered: %s' ;;
        overlay-open) es='quedan valores en CHANGE_ME en k8s/overlays/%s: %s' en='values are CHANGE_ME in k8s/overlays/%s: %s' ;;
        secret-missing) es='falta %s en %s.' en='%s is missing in %s.' ;;
        secret-file-missing)
            es='falta %s: copiá %s.example a %s y completalo.'
            en='%s is missing: copy %s.example to %s and fill it in.'
            ;;
        secret-example) es='%s sigue en CHANGE_ME (%s).' en='%s is still CHANGE_ME (%s).' ;;
        other-user)
            es='MONGO_USER tiene que ser el usuario de k8s/base/mongodb/replica-set.yaml.'
            en='MONGO_USER must be the user of k8s/base/mongodb/replica-set.yaml.'
            ;;
        bad-env) es='%s, línea %d: %s' en='%s, line %d: %s' ;;
        env-no-equals) es='falta el «=».' en='there is no "=".' ;;
        env-no-quote) es='falta la comilla que cierra.' en='the closing quote is missing.' ;;
        stranger)
            es='ya existe y no lo hizo deploy.sh: %s. No lo piso; renombralo o borralo.'
            en='is there already and was not made by deploy.sh: %s. It is left alone; rename or delete it.'
            ;;
        strict-namespace)
            es='el namespace %s ya existe con pod-security «%s», y acá hace falta «%s». No lo cambio.'
            en='the namespace %s exists with pod-security "%s", and "%s" is needed here. It is left as it is.'
            ;;
        foreign-release)
            es='%s ya está instalado (%s %s en %s) y no por deploy.sh: usalo con --use-existing %s.'
            en='%s is installed already (%s %s in %s), and not by deploy.sh: use it with --use-existing %s.'
            ;;
        foreign-operator)
            es='%s ya está instalado sin Helm o en otro namespace (%s): usalo con --use-existing %s.'
            en='%s is installed already, without Helm or in another namespace (%s): use it with --use-existing %s.'
            ;;
        newer-release)
            es='%s %s ya está instalado y es más nuevo que %s: actualizá este repositorio, o usá --use-existing %s.'
            en='%s %s is installed and newer than %s: update this repository, or say --use-existing %s.'
            ;;
        not-there)
            es='--use-existing %s, pero en el clúster no está %s.'
            en='--use-existing %s, but there is no %s in the cluster.'
            ;;
        namespace-not-there)
            es='--use-existing %s necesita el namespace %s, que no existe.'
            en='--use-existing %s needs the namespace %s, which does not exist.'
            ;;
        immutable) es='lo que hay no se puede cambiar a k8s/overlays/%s: %s' en='what is there cannot become k8s/overlays/%s: %s' ;;
        too-old-crds)
            es='%s guarda %s, y %s ya no: instalá antes %s.'
            en='%s stores %s, which %s no longer has: install %s first.'
            ;;
        plan-install) es='%s %s: se instala' en='%s %s: to be installed' ;;
        plan-upgrade) es='%s %s: se actualiza a %s' en='%s %s: to be upgraded to %s' ;;
        plan-same) es='%s %s: ya está' en='%s %s: is there' ;;
        plan-existing) es='%s: se usa el que hay' en='%s: the one that is there is used' ;;
        plan-recover) es='%s quedó a medias (%s): se vuelve atrás y se sigue' en='%s was left half done (%s): it is rolled back first' ;;
        plan-namespace) es='namespace %s: se crea' en='namespace %s: to be created' ;;
        keep-namespace) es='namespace %s: ya existe y no es de deploy.sh; se deja como está' en='namespace %s: exists and is not deploy.sh'"'"'s; left as it is' ;;
        cookies-kept)
            es='no hay yt-cookies.txt: quedan las cookies que tiene el clúster'
            en='there is no yt-cookies.txt: the cookies in the cluster stay'
            ;;
        cookies-empty) es='yt-cookies.txt está vacío: no se usa' en='yt-cookies.txt is empty and not used' ;;
        keys-kept)
            es='no hay k8s/secrets/api-keys.json: quedan las claves que tiene el clúster'
            en='there is no k8s/secrets/api-keys.json: the keys in the cluster stay'
            ;;
        forward-ended) es='kubectl port-forward terminó: %s' en='kubectl port-forward ended: %s' ;;
        forward-closed) es='kubectl port-forward no abre el puerto.' en='kubectl port-forward does not open the port.' ;;
        unwell) es='/api/v1/health responde %s: %s' en='/api/v1/health answers %s: %s' ;;
        nothing-changed) es='No se cambió nada (--dry-run).' en='Nothing was changed (--dry-run).' ;;
        deployed) es='Listo. La API:  %s' en='Done. The API:  %s' ;;
        grafana) es='Grafana:        %s   (clave: %s)' en='Grafana:        %s   (password: %s)' ;;
        data-stays)
            es='Quedan Kafka, MongoDB, los temas guardados y sus operadores. Con --delete-data también se borran.'
            en='Kafka, MongoDB, the stored songs and their operators stay. With --delete-data they are deleted too.'
            ;;
        namespace-stays)
            es='el namespace %s queda: tiene cosas que no son de deploy.sh (%s)'
            en='the namespace %s stays: there are things in it that are not deploy.sh'"'"'s (%s)'
            ;;
        release-stays) es='%s queda: no lo instaló deploy.sh' en='%s stays: deploy.sh did not install it' ;;
        topics-stuck)
            es='los topics no se van solos: se les saca el finalizer' en='the topics do not go by themselves: their finalizers are removed' ;;
        step-check) es='Revisar lo que hace falta' en='Check what is needed' ;;
        step-namespaces) es='Namespaces' en='Namespaces' ;;
        operator-mongodb) es='Operador de MongoDB' en='MongoDB operator' ;;
        operator-monitoring) es='Prometheus y Grafana' en='Prometheus and Grafana' ;;
        step-secrets) es='Secretos' en='Secrets' ;;
        step-databases) es='Certificados y recursos de Kafka y MongoDB' en='Certificates and resources of Kafka and MongoDB' ;;
        step-application) es='Servicio de audio y bot' en='Audio service and bot' ;;
        step-monitors) es='Reglas y tableros' en='Rules and dashboards' ;;
        step-verify) es='Verificar' en='Verify' ;;
        step-remove-application) es='Quitar el servicio de audio y el bot' en='Remove the audio service and the bot' ;;
        step-remove-monitoring) es='Quitar Prometheus y Grafana' en='Remove Prometheus and Grafana' ;;
        step-remove-data) es='Borrar Kafka, MongoDB y los temas' en='Delete Kafka, MongoDB and the songs' ;;
        step-remove-operators) es='Quitar los operadores' en='Remove the operators' ;;
        step-remove-namespaces) es='Borrar los namespaces' en='Delete the namespaces' ;;
        *) es="$1" en="$1" ;;
    esac
    shift
    # shellcheck disable=SC2059 # the formats stand above
    if [[ ${LOCALE:-es} == en* ]]; then printf -- "$en" "$@"; else printf -- "$es" "$@"; fi
}

# say KEY [ARGUMENT...]: the same as a line of a list.
say() {
    word "$@"
    printf '\n'
}

# note KEY [ARGUMENT...]: the same below a step.
note() {
    printf '    '
    say "$@"
}
