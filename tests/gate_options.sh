#!/bin/sh
# gate_options.sh [ROOT] - the manual page of a command, docs/COMMAND.md, and the option tables of clients/COMMAND.c name
# the same options: each as `--name` with its environment twin, and none that is gone.
#
# A table may take in the rows of a *_flags.h: ENGINE_OPTS is in engine_flags.h.
set -u

root=${1:-.}
bad=0 n=0 pages=0

# The option names in a file's tables: {"name", 'n', ... or {"name", 0, ... however the lines are broken.
names_in() {
    tr -d '\\\n' <"$1" | grep -oE "\{ *\"[a-z][a-z0-9-]*\", *('.'|0)," | sed 's/^{ *"\([^"]*\)".*/\1/'
}

say() {
    echo "$1"
    bad=$((bad + 1))
}

for source in "$root"/clients/*.c; do
    [ -f "$source" ] || continue
    grep -q '^static const struct opt OPTS' "$source" || continue
    command=$(basename "$source" .c)
    page="$root/docs/$command.md"
    names=$(names_in "$source")
    for macro in $(grep -oE '^ *[A-Z]+_OPTS\(' "$source" | tr -d ' (' | tr '[:upper:]' '[:lower:]'); do
        names="$names $(names_in "$root/clients/${macro%_opts}_flags.h")"
    done
    pages=$((pages + 1))
    [ -f "$page" ] || { say "$command: there is no $page"; continue; }
    for name in $names; do
        n=$((n + 1))
        twin=NIGHTMILL_$(echo "$name" | tr 'a-z-' 'A-Z_')
        grep -qE "^\| .*\`--${name}[\` ].*\`$twin\`" "$page" || say "$page: no row with \`--$name\` and \`$twin\`"
    done
    # shellcheck disable=SC2013,SC2016
    for name in $(sed -n 's/^| .*`--\([a-z0-9-]*\).*`NIGHTMILL_.*/\1/p' "$page"); do
        echo " $names " | tr '\n' ' ' | grep -qF -- " $name " || say "$page: --$name is no option of $command"
    done
done
echo "options: $n options of $pages commands, $bad bad"
[ "$n" -gt 0 ] && [ "$bad" -eq 0 ]
