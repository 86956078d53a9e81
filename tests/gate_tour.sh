#!/bin/sh
# gate_tour.sh FILE - each stop of the tour, a row `| 3 | `file` | `function` | ...`, is still defined in that file.
# In a .sql file the name is that of a table or view.  At most twelve stops.
set -u

readme=${1:?a file}
# shellcheck disable=SC2016
stops=$(sed -n 's/^| *[0-9][0-9]* *| *`\([^`]*\)` *| *[^`|]*`\([^`]*\)` *|.*/\1 \2/p' "$readme")
bad=0 n=0

# Is the function's body here, and not only its declaration?
is_defined() {
    awk -v name="$2" '
        $0 ~ "^[A-Za-z_].*[ *]" name "\\(" { open = 1 }
        open && /\{/ { found = 1; exit }
        open && /;/ { open = 0 }
        END { exit !found }' "$1"
}

# Word by word: file, name, file, name.
# shellcheck disable=SC2086
set -- $stops
while [ $# -ge 2 ]; do
    n=$((n + 1))
    case $1 in
    *.sql) grep -qE "^CREATE (TABLE|VIEW) $2( |\$)" "$1" ;;
    *) [ -f "$1" ] && is_defined "$1" "$2" ;;
    esac || {
        echo "$readme: stop $n: $1 does not define $2"
        bad=$((bad + 1))
    }
    shift 2
done
echo "tour: $n stops, $bad bad"
[ "$n" -gt 0 ] && [ "$n" -le 12 ] && [ "$bad" -eq 0 ]
