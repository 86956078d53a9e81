#!/bin/sh
# gate_headers.sh [ROOT] - each header compiles alone, and includes point one way:
#
#   base <- schema, kernels, model <- worker, broker <- clients; tests include anything
#
# A struct's name is defined in one .cu or .cuh file: templates over two of one name are one to the linker.
# The worker and the broker meet in schema only.  CC and FLAGS come from the Makefile.
set -u

root=${1:-.}
# What the files of a folder may include; a folder that is not here has no rule and fails.
allowed() {
    case $1 in
    base) echo base ;;
    schema) echo base schema ;;
    kernels) echo base kernels ;;
    model) echo base model ;;
    worker) echo base schema kernels model worker ;;
    broker) echo base schema broker ;;
    clients) echo base schema kernels model worker broker clients ;;
    tests) echo base schema kernels model worker broker clients bench tests ;;
    bench) echo base schema kernels model worker broker clients bench ;;
    esac
}

bad=0 n_headers=0 n_includes=0
for dir in base schema kernels model worker broker clients tests bench; do
    may=" $(allowed "$dir") "
    for file in "$root/$dir"/*.h "$root/$dir"/*.c "$root/$dir"/*.cu; do
        [ -f "$file" ] || continue
        # shellcheck disable=SC2013
        for include in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
            n_includes=$((n_includes + 1))
            case $may in
            *" ${include%%/*} "*) ;;
            *)
                echo "$file: includes \"$include\", and $dir may include:$may"
                bad=$((bad + 1))
                ;;
            esac
        done
        case $file in
        *.h)
            n_headers=$((n_headers + 1))
            # shellcheck disable=SC2086
            ${CC:-gcc} -fsyntax-only -x c -I"$root" ${FLAGS:--std=c17 -D_GNU_SOURCE -Wall -Werror} "$file" || {
                echo "$file: does not compile alone"
                bad=$((bad + 1))
            }
            ;;
        esac
    done
done
for name in $(cat "$root"/kernels/*.cu "$root"/kernels/*.cuh 2>/dev/null | sed -n 's/^struct \([a-z0-9_]*\) {.*/\1/p' | sort | uniq -d); do
    # shellcheck disable=SC2046
    echo $(grep -l "^struct $name {" "$root"/kernels/*.cu "$root"/kernels/*.cuh 2>/dev/null): "struct $name is defined twice"
    bad=$((bad + 1))
done
echo "headers: $n_headers headers, $n_includes includes, $bad bad"
[ "$n_headers" -gt 0 ] && [ "$n_includes" -gt 0 ] && [ "$bad" -eq 0 ]
