"""lite.py FILE ROWS - messages/s of litequeue, durable: put, then pop and done.  Two numbers on one line.

Each call is a transaction of its own, as the library offers it; synchronous=FULL is set, which is not its default.
"""

import sys
import time

from litequeue import LiteQueue

path, rows = sys.argv[1], int(sys.argv[2])
queue = LiteQueue(path)
queue.conn.execute("PRAGMA synchronous=FULL")
body = "b" * 400

start = time.perf_counter()
for _ in range(rows):
    queue.put(body)
put = rows / (time.perf_counter() - start)

start = time.perf_counter()
for _ in range(rows):
    message = queue.pop()
    assert message.data == body
    queue.done(message.message_id)
life = rows / (time.perf_counter() - start)
assert queue.pop() is None
print(f"{put:.1f} {life:.1f}")
