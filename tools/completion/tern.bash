# SPDX-License-Identifier: Apache-2.0
#
# Completion of `tern` in bash. What a QMP server can do is asked of the server itself:
# tern ctl SOCKET complete.

_tern_ctl() {
  # bash splits words at = and :, which are part of ours: the line is split again at blanks.
  local line=${COMP_LINE:0:COMP_POINT} word socket="" skip="" i
  local -a words behind=()
  read -r -a words <<<"$line"
  [[ $line == *[[:blank:]] ]] && words+=("")
  local current=${words[-1]}
  if [[ $current == -?* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "--json --wait --oob --timeout --connect-timeout --interval
      --until-end --enable-events --fd --file --help" -- "$current")
    return
  fi
  for ((i = 2; i < ${#words[@]}; i++)); do
    word=${words[i]}
    if [[ -n $skip ]]; then
      [[ $skip == --file && $i == $((${#words[@]} - 1)) ]] && socket=""
      skip=""
      continue
    fi
    case $word in
      --timeout | --connect-timeout | --interval | --fd | --file) skip=$word ;;
      -?*) ;;
      *) if [[ -z $socket && $i -lt $((${#words[@]} - 1)) ]]; then socket=$word; else behind+=("$word"); fi ;;
    esac
  done
  if [[ -z $socket || ${words[-2]} == --file ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  mapfile -t COMPREPLY < <("${words[0]}" ctl "$socket" complete -- "${behind[@]}" 2>/dev/null)
  # What goes on behind = or . gets no blank; bash replaces only what follows the last = or :.
  local kept=${current%"${current##*[=:]}"}
  for i in "${!COMPREPLY[@]}"; do
    [[ ${COMPREPLY[i]} == *[=.] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
  done
}

_tern_dirty_rate() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  case $previous in
    --pid)
      mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && printf '%s ' [0-9]*)" -- "$current")
      return
      ;;
    --mode)
      mapfile -t COMPREPLY < <(compgen -W "auto page-sampling soft-dirty dirty-bitmap dirty-ring" -- "$current")
      return
      ;;
    --qmp | --svg)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "--pid --qmp --mode --window --curve --count --interval --min-region
    --match --regex --precision --samples --sample-pages --max-samples --seed --regions --json --csv --svg
    --help" -- "$current")
}

_tern() {
  COMPREPLY=()
  if [[ $COMP_CWORD -le 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "ctl demo dirty-rate inspect --help --version" -- "${COMP_WORDS[COMP_CWORD]}")
    return
  fi
  case ${COMP_WORDS[1]} in
    ctl) _tern_ctl ;;
    dirty-rate) _tern_dirty_rate ;;
    demo)
      mapfile -t COMPREPLY < <(compgen -W "--machine --ram --json --verbose --help" -- \
        "${COMP_WORDS[COMP_CWORD]}")
      ;;
    *)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
      ;;
  esac
}

complete -F _tern tern
