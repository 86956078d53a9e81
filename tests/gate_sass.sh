#!/bin/sh
# gate_sass.sh TABLE FILE... - the compiled kernels hold the instructions that they are written for.
#
# A line of TABLE: a part of kernels' names, a device (sm_80), and instructions that each such kernel must hold; # begins
# a comment.  FILE is an object of nvcc's, or what `cuobjdump -sass` printed (*.sass).  Fails when a kernel lacks an
# instruction, when a line names no kernel, and on nothing to look at.  Kernels with local memory are told, no more.
set -u

table=${1:-}
[ -f "$table" ] && [ $# -gt 1 ] || { echo "sass: 0 kernels: gate_sass.sh TABLE FILE..."; exit 1; }
shift
counts=$(mktemp)
trap 'rm -rf "$counts"' EXIT

# All kernels of a file: device, name, then each instruction once.
kernels() {
    case $1 in
    *.sass) cat "$1" ;;
    *) "${CUOBJDUMP:-cuobjdump}" -sass "$1" ;;
    esac | awk '
        function end() { if (name) { printf "%s %s", arch, name; for (op in seen) printf " %s", op; print "" }; split("", seen); name = "" }
        $1 == "arch" { end(); arch = $3 }
        $1 == "Function" { end(); name = $3 }
        $1 ~ /^\/\*[0-9a-f]+\*\/$/ && name { op = $2; if (op ~ /^@/) op = $3; sub(/[.;].*/, "", op); if (op != "") seen[op] }
        END { end() }'
}

for file in "$@"; do kernels "$file" || exit 1; done >"$counts"
awk -v table="$table" '
    BEGIN {
        while ((getline line < table) > 0) {
            sub(/#.*/, "", line)
            if (split(line, w, " ") < 3) continue
            n++; part[n] = w[1]; arch[n] = w[2]
            rest = line; sub(/^[ ]*[^ ]+[ ]+[^ ]+[ ]+/, "", rest); wants[n] = rest
        }
    }
    {
        total++; split("", has)
        for (i = 3; i <= NF; i++) has[$i]
        kernel = $2; sub(/^_Z[0-9]+/, "", kernel); sub(/_kernel.*/, "_kernel", kernel)
        kinds[kernel " (" $1 ")"]++
        if ("LDL" in has || "STL" in has) spilled[kernel " (" $1 ")"]++
        built[$1]
        for (r = 1; r <= n; r++) {
            if ($1 != arch[r] || !index($2, part[r])) continue
            seen[r]++
            k = split(wants[r], w, " ")
            for (i = 1; i <= k; i++) if (!(w[i] in has)) { print "sass: " $2 " (" $1 ") has no " w[i]; bad++ }
        }
    }
    END {
        for (r = 1; r <= n; r++) if (!seen[r] && (arch[r] in built)) { print "sass: no kernel of " arch[r] " is named " part[r]; bad++ }
        for (r = 1; r <= n; r++) if (seen[r]) looked += seen[r]
        for (kernel in spilled) printf "sass: local memory in %d of %d %s\n", spilled[kernel], kinds[kernel], kernel
        printf "sass: %d kernels, %d held to %d lines, %d bad\n", total, looked, n, bad
        exit !(total && looked && !bad)
    }' "$counts"
