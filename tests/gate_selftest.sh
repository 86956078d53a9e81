#!/bin/sh
# gate_selftest.sh CLANG_FORMAT - has every gate fail on its bad input in tests/bad/, and on no input at all.
set -u

clang_format=${1:-clang-format-14}
bad=tests/bad
empty=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$empty" "$log"' EXIT
passed=0 failed=0

# fails WORD GATE ARGS... - the gate says no, and says WORD: it saw the flaw, and did not trip over something else.
fails() {
    word=$1
    shift
    if sh "$@" >"$log" 2>&1; then
        echo "selftest: passed what is bad: $*"
    elif ! grep -q -- "$word" "$log"; then
        echo "selftest: failed for another reason than '$word': $*"
        cat "$log"
    else
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
}

fails 'does not compile alone' tests/gate_headers.sh $bad/headers_alone
fails 'worker may include' tests/gate_headers.sh $bad/headers_crossing
fails 'schema may include' tests/gate_headers.sh $bad/headers_up
fails 'struct rows is defined twice' tests/gate_headers.sh $bad/headers_twice
fails '0 headers' tests/gate_headers.sh "$empty"
fails 'does not define grant_none' tests/gate_tour.sh $bad/tour_gone.md
fails 'does not define broker_run' tests/gate_tour.sh $bad/tour_declared.md
fails '0 stops' tests/gate_tour.sh $bad/tour_empty.md
fails 'some bad' tests/gate_fmt.sh "$clang_format" $bad/fmt.c
fails 'nothing to check' tests/gate_fmt.sh "$clang_format"
fails 'no row with .--stones' tests/gate_options.sh $bad/options_missing
fails 'sails is no option' tests/gate_options.sh $bad/options_gone
fails '0 options' tests/gate_options.sh "$empty"
fails 'home path' tests/gate_words.sh $bad/words/home.txt
fails 'tab' tests/gate_words.sh $bad/words/tab.c
fails 'blank at the end' tests/gate_words.sh $bad/words/blank.md
fails 'left to do' tests/gate_words.sh $bad/words/later.h
fails '0 files' tests/gate_words.sh
fails 'multiply_mma.* has no HMMA' tests/gate_sass.sh $bad/sass/table.txt $bad/sass/plain.sass
fails 'no kernel of sm_80 is named multiply_mma' tests/gate_sass.sh $bad/sass/table.txt $bad/sass/renamed.sass
fails '0 kernels' tests/gate_sass.sh $bad/sass/table.txt $bad/sass/empty.sass
fails '0 kernels' tests/gate_sass.sh

echo "selftest: $passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
