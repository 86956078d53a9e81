#!/bin/sh
# gate_words.sh FILES... - what no file of ours holds: somebody's home path, a tab in C, a blank at a line's end,
# a mark of something left to do.  Sample and test data (*.jsonl, *.csv, fuzz seeds) may hold anything.
set -u

n=0 bad=0

# none REGEX WHAT FILE
none() {
    if found=$(grep -nIE -- "$1" "$3" | head -n 3) && [ -n "$found" ]; then
        printf '%s\n' "$found" | sed "s|^|$3:|; s|\$|   <- $2|"
        bad=$((bad + 1))
    fi
}

tab=$(printf '\t')
for file in "$@"; do
    case $file in
    *.jsonl | *.csv | *.seeds/* | *.safetensors) continue ;;
    esac
    [ -f "$file" ] || continue
    n=$((n + 1))
    none '(/home/|/Users/|/root/)[A-Za-z0-9._-]+' 'home path' "$file"
    none '\b(TO''DO|FIX''ME|X''XX)\b' 'left to do' "$file"
    none '[[:blank:]]+$' 'blank at the end' "$file"
    case $file in
    *.c | *.h | *.cu | *.cuh) none "$tab" 'tab' "$file" ;;
    esac
done
echo "words: $n files, $bad findings"
[ "$n" -gt 0 ] && [ "$bad" -eq 0 ]
