#compdef coalmine
# zsh completion of coalmine
__coalmine_rollouts() {
    local limit=""
    if command -v timeout >/dev/null 2>&1; then limit="timeout 2"; fi
    # shellcheck disable=SC2086  # these are words of their own
    $limit coalmine $1 list rollouts -o name 2>/dev/null </dev/null | sed 's|.*/||'
}

# __coalmine_candidates CURRENT WORD...: the words are those before the cursor, without the program
__coalmine_candidates() {
    local current="$1" at="" flag="" count=0 cluster="" word=""
    shift
    for word in "$@"; do
        if [ -n "$flag" ]; then
            case "$flag" in
                -n|--namespace|--context|--kubeconfig) cluster="$cluster $flag $word" ;;
            esac
            flag=""
            continue
        fi
        case "$word" in
            --*=*)
                case "$word" in
                    --namespace=*|--context=*|--kubeconfig=*) cluster="$cluster $word" ;;
                esac
                ;;
            -?*)
                case "$at:$word" in
                    ":-n"|\
                    ":--namespace"|\
                    ":--context"|\
                    ":--kubeconfig"|\
                    " get:-n"|\
                    " get:--namespace"|\
                    " get:--context"|\
                    " get:--kubeconfig"|\
                    " get rollout:-n"|\
                    " get rollout:--namespace"|\
                    " get rollout:--context"|\
                    " get rollout:--kubeconfig"|\
                    " get rollout:-o"|\
                    " get rollout:--output"|\
                    " list:-n"|\
                    " list:--namespace"|\
                    " list:--context"|\
                    " list:--kubeconfig"|\
                    " list rollouts:-n"|\
                    " list rollouts:--namespace"|\
                    " list rollouts:--context"|\
                    " list rollouts:--kubeconfig"|\
                    " list rollouts:-o"|\
                    " list rollouts:--output"|\
                    " status:-n"|\
                    " status:--namespace"|\
                    " status:--context"|\
                    " status:--kubeconfig"|\
                    " status:-t"|\
                    " status:--timeout"|\
                    " status:-o"|\
                    " status:--output"|\
                    " set:-n"|\
                    " set:--namespace"|\
                    " set:--context"|\
                    " set:--kubeconfig"|\
                    " set image:-n"|\
                    " set image:--namespace"|\
                    " set image:--context"|\
                    " set image:--kubeconfig"|\
                    " set image:-o"|\
                    " set image:--output"|\
                    " promote:-n"|\
                    " promote:--namespace"|\
                    " promote:--context"|\
                    " promote:--kubeconfig"|\
                    " promote:-o"|\
                    " promote:--output"|\
                    " pause:-n"|\
                    " pause:--namespace"|\
                    " pause:--context"|\
                    " pause:--kubeconfig"|\
                    " pause:-o"|\
                    " pause:--output"|\
                    " abort:-n"|\
                    " abort:--namespace"|\
                    " abort:--context"|\
                    " abort:--kubeconfig"|\
                    " abort:-o"|\
                    " abort:--output"|\
                    " retry:-n"|\
                    " retry:--namespace"|\
                    " retry:--context"|\
                    " retry:--kubeconfig"|\
                    " retry:-o"|\
                    " retry:--output"|\
                    " undo:-n"|\
                    " undo:--namespace"|\
                    " undo:--context"|\
                    " undo:--kubeconfig"|\
                    " undo:--to-revision"|\
                    " undo:-o"|\
                    " undo:--output"|\
                    " restart:-n"|\
                    " restart:--namespace"|\
                    " restart:--context"|\
                    " restart:--kubeconfig"|\
                    " restart:-o"|\
                    " restart:--output"|\
                    " lint:-n"|\
                    " lint:--namespace"|\
                    " lint:--context"|\
                    " lint:--kubeconfig"|\
                    " lint:-f"|\
                    " lint:--filename"|\
                    " lint:-o"|\
                    " lint:--output"|\
                    " check:-n"|\
                    " check:--namespace"|\
                    " check:--context"|\
                    " check:--kubeconfig"|\
                    " check:-o"|\
                    " check:--output"|\
                    " uninstall:-n"|\
                    " uninstall:--namespace"|\
                    " uninstall:--context"|\
                    " uninstall:--kubeconfig"|\
                    " uninstall:--timeout"|\
                    " uninstall:-o"|\
                    " uninstall:--output"|\
                    " completion:-n"|\
                    " completion:--namespace"|\
                    " completion:--context"|\
                    " completion:--kubeconfig"|\
                    " version:-n"|\
                    " version:--namespace"|\
                    " version:--context"|\
                    " version:--kubeconfig"|\
                    " version:-o"|\
                    " version:--output")
                        flag="$word" ;;
                esac
                ;;
            *)
                case "$at $word" in
                    " get") at=" get" ;;
                    " get rollout"|" get ro"|" get rollouts") at=" get rollout" ;;
                    " list") at=" list" ;;
                    " list rollouts"|" list ro"|" list rollout") at=" list rollouts" ;;
                    " status") at=" status" ;;
                    " set") at=" set" ;;
                    " set image") at=" set image" ;;
                    " promote") at=" promote" ;;
                    " pause") at=" pause" ;;
                    " abort") at=" abort" ;;
                    " retry") at=" retry" ;;
                    " undo") at=" undo" ;;
                    " restart") at=" restart" ;;
                    " lint") at=" lint" ;;
                    " check") at=" check" ;;
                    " uninstall") at=" uninstall" ;;
                    " completion") at=" completion" ;;
                    " version") at=" version" ;;
                    *) count=$((count + 1)) ;;
                esac
                ;;
        esac
    done
    if [ -n "$flag" ]; then
        case "$at:$flag" in
            ":--kubeconfig") printf '%s\n' :files ;;
            " get:--kubeconfig") printf '%s\n' :files ;;
            " get rollout:--kubeconfig") printf '%s\n' :files ;;
            " get rollout:-o"|" get rollout:--output") printf '%s\n' text json yaml ;;
            " list:--kubeconfig") printf '%s\n' :files ;;
            " list rollouts:--kubeconfig") printf '%s\n' :files ;;
            " list rollouts:-o"|" list rollouts:--output") printf '%s\n' text json yaml wide name ;;
            " status:--kubeconfig") printf '%s\n' :files ;;
            " status:-o"|" status:--output") printf '%s\n' text json yaml ;;
            " set:--kubeconfig") printf '%s\n' :files ;;
            " set image:--kubeconfig") printf '%s\n' :files ;;
            " set image:-o"|" set image:--output") printf '%s\n' text json yaml ;;
            " promote:--kubeconfig") printf '%s\n' :files ;;
            " promote:-o"|" promote:--output") printf '%s\n' text json yaml ;;
            " pause:--kubeconfig") printf '%s\n' :files ;;
            " pause:-o"|" pause:--output") printf '%s\n' text json yaml ;;
            " abort:--kubeconfig") printf '%s\n' :files ;;
            " abort:-o"|" abort:--output") printf '%s\n' text json yaml ;;
            " retry:--kubeconfig") printf '%s\n' :files ;;
            " retry:-o"|" retry:--output") printf '%s\n' text json yaml ;;
            " undo:--kubeconfig") printf '%s\n' :files ;;
            " undo:-o"|" undo:--output") printf '%s\n' text json yaml ;;
            " restart:--kubeconfig") printf '%s\n' :files ;;
            " restart:-o"|" restart:--output") printf '%s\n' text json yaml ;;
            " lint:--kubeconfig") printf '%s\n' :files ;;
            " lint:-f"|" lint:--filename") printf '%s\n' :files ;;
            " lint:-o"|" lint:--output") printf '%s\n' text json yaml ;;
            " check:--kubeconfig") printf '%s\n' :files ;;
            " check:-o"|" check:--output") printf '%s\n' text json yaml ;;
            " uninstall:--kubeconfig") printf '%s\n' :files ;;
            " uninstall:-o"|" uninstall:--output") printf '%s\n' text json yaml ;;
            " completion:--kubeconfig") printf '%s\n' :files ;;
            " version:--kubeconfig") printf '%s\n' :files ;;
            " version:-o"|" version:--output") printf '%s\n' text json yaml ;;
        esac
        return 0
    fi
    case "$current" in
        -*)
            case "$at" in
                "") printf '%s\n' --help --namespace --context --kubeconfig --no-color ;;
                " get") printf '%s\n' --help --namespace --context --kubeconfig --no-color ;;
                " get rollout") printf '%s\n' --help --namespace --context --kubeconfig --no-color --watch --output ;;
                " list") printf '%s\n' --help --namespace --context --kubeconfig --no-color ;;
                " list rollouts") printf '%s\n' --help --namespace --context --kubeconfig --no-color --all-namespaces --watch --output ;;
                " status") printf '%s\n' --help --namespace --context --kubeconfig --no-color --watch --no-watch --timeout --output ;;
                " set") printf '%s\n' --help --namespace --context --kubeconfig --no-color ;;
                " set image") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
                " promote") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output --full ;;
                " pause") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
                " abort") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
                " retry") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
                " undo") printf '%s\n' --help --namespace --context --kubeconfig --no-color --to-revision --output ;;
                " restart") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
                " lint") printf '%s\n' --help --namespace --context --kubeconfig --no-color --filename --output ;;
                " check") printf '%s\n' --help --namespace --context --kubeconfig --no-color --all-namespaces --before --strict --output ;;
                " uninstall") printf '%s\n' --help --namespace --context --kubeconfig --no-color --finish --abort --yes --dry-run --keep-sidecars --keep-annotations --keep-crds --timeout --output ;;
                " completion") printf '%s\n' --help --namespace --context --kubeconfig --no-color ;;
                " version") printf '%s\n' --help --namespace --context --kubeconfig --no-color --output ;;
            esac
            return 0 ;;
    esac
    case "$at:$count" in
        ":0") printf '%s\n' get list status set promote pause abort retry undo restart lint check uninstall completion version ;;
        " get:0") printf '%s\n' rollout ;;
        " get rollout:0") __coalmine_rollouts "$cluster" ;;
        " list:0") printf '%s\n' rollouts ;;
        " status:0") __coalmine_rollouts "$cluster" ;;
        " set:0") printf '%s\n' image ;;
        " set image:0") __coalmine_rollouts "$cluster" ;;
        " promote:0") __coalmine_rollouts "$cluster" ;;
        " pause:0") __coalmine_rollouts "$cluster" ;;
        " abort:0") __coalmine_rollouts "$cluster" ;;
        " retry:0") __coalmine_rollouts "$cluster" ;;
        " undo:0") __coalmine_rollouts "$cluster" ;;
        " restart:0") __coalmine_rollouts "$cluster" ;;
        " completion:0") printf '%s\n' bash zsh fish kubectl ;;
    esac
    return 0
}

_coalmine() {
    local candidates current="${words[CURRENT]}"
    local -a before
    before=("${(@)words[2,CURRENT-1]}")
    candidates="$(emulate sh; __coalmine_candidates "$current" "${before[@]}")"
    if [[ "$candidates" == ":files" ]]; then
        _files
    else
        compadd -- ${(f)candidates}
    fi
}
if [[ "${funcstack[1]}" == "_coalmine" ]]; then
    _coalmine "$@"
else
    compdef _coalmine coalmine
fi
