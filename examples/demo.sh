#!/bin/sh
# The main job, as a user would do it by hand: a broker on a new queue file, two workers of different strength, a file
# of prompts, and SQL.  Everything it starts ends with it; the queue file stays for you to look at.
set -eu

program=build/nightmill
model=examples/tidy
input=examples/messy_dates.jsonl
dir=build/demo
db=$dir/night.db
batch=messy_dates

[ -x "$program" ] || { echo "demo: $program is not built; run make first" >&2; exit 3; }
rm -rf "$dir" && mkdir -p "$dir"
pids=""
finish() {
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "== a broker on a new file, $db"
$program broker --db "$db" 2>"$dir/broker.log" &
pids="$pids $!"

echo "== two workers: 'small' with 1 thread and room for 1,000 tokens of KV, 'large' with 2 threads and 32 MB"
$program worker --db "$db" --model "$model" --name small --threads 1 --max-num-seqs 8 \
    --kv-cache-memory-bytes 2M 2>"$dir/small.log" &
pids="$pids $!"
$program worker --db "$db" --model "$model" --name large --threads 2 --max-num-seqs 64 \
    --kv-cache-memory-bytes 32M 2>"$dir/large.log" &
pids="$pids $!"

echo "== submit $input (2,000 prompts, and three damaged lines to show what becomes of them)"
status=0
$program submit "$input" --db "$db" --batch "$batch" --wait || status=$?
[ "$status" -le 1 ] || exit "$status" # 1: some rows failed, as they should

query() {
    echo
    echo "== $1"
    $program sql --db "$db" "$2"
}
query "messy cells, the expected answers, and what the model says" "
    WITH asked AS (SELECT json_extract(prompt, '\$.messages[#-1].content') AS content, custom_id, text,
                          json_extract(prompt, '\$.metadata.expected') AS expected
                     FROM results WHERE state = 'done')
    SELECT substr(content, instr(content, 'Locale: ') + 8, instr(content, '. Cell') - instr(content, 'Locale: ') - 8)
           AS locale, substr(content, instr(content, 'Cell: ') + 6) AS cell, expected, text AS answer,
           CASE WHEN text = expected THEN 'ok' ELSE 'WRONG' END AS verdict
      FROM asked ORDER BY custom_id LIMIT 8;
    SELECT count(*) AS answers, sum(text = json_extract(prompt, '\$.metadata.expected')) AS exact,
           round(100.0 * avg(text = json_extract(prompt, '\$.metadata.expected')), 2) AS percent
      FROM results WHERE state = 'done'"
query "each instance's share" "
    SELECT r.instance, i.threads, i.kv_tokens, count(*) AS rows, sum(r.prompt_tokens) AS prompt_tokens,
           sum(r.output_tokens) AS output_tokens, round(i.busy_tokens_per_s) AS tokens_per_s
      FROM results r JOIN instances i ON i.name = r.instance WHERE r.state = 'done' GROUP BY r.instance"
query "the rows that failed, and why" "
    SELECT line, custom_id, code, message FROM errors ORDER BY line"

cat <<EOF

== go on
  $program status --db $db
  $program results $batch --db $db --format csv | head
  $program sql --db $db "SELECT * FROM slowest LIMIT 5"
  $program sql --db $db "SELECT custom_id, text FROM results WHERE text = 'unknown' LIMIT 5"
all of the above in one command, into a queue file of its own:
  $program run -i $input -o $dir/answers.jsonl --model $model
EOF
