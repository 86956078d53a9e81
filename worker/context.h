/* context.h - what must be in place before the first token, kept on this node's disk.
 *
 * A directory of entries, each named by the hash of what it holds or was made of: files' content
 * hashes and tokenizers' images (model/cache.h), what a device's measuring found
 * (kernels/device.h), profiles (profile_kept.h).  Any of them may be removed at any time, and all
 * workers of a node share them.
 *
 *   DIR/NAME        a struct entry (context.c), then the bytes
 *   DIR/NAME.XXXXXX one that is being written
 *
 * An entry that nobody used for CONTEXT_KEEP_DAYS is removed when another one is written.
 *
 * Threads    one at a time; any number of processes.
 * Ownership  context_open/context_close; an entry that was found lives until it is dropped, also
 *            when its file is replaced or removed meanwhile.
 * Errors     a directory that cannot be used is one warning and nothing else: nothing is found in
 * it and nothing kept.
 *
 * CX1  an entry is there whole, under its name, or not at all: written beside it, then renamed.
 * CX2  what is found has the length that was kept and was kept under that name by this user or
 * root; whether its bytes can be believed is for who kept them to check. CX3  of two that write one
 * entry at a time, one is kept.
 */
#ifndef WORKER_CONTEXT_H
#define WORKER_CONTEXT_H

#include "base/err.h"
#include "kernels/device.h"
#include "model/cache.h"

#define CONTEXT_KEEP_DAYS 60

struct context;

/* dir NULL or "": $XDG_CACHE_HOME/nightmill, else ~/.cache/nightmill.  Made when it is not there.
 */
int context_open(struct context **out, const char *dir, struct errmsg *e) MUSTCHECK;
void context_close(struct context **c);

/* The directory; NULL when there is none to be used. */
const char *context_dir(const struct context *c);

/* The model's hands; engine is what makes an image: version and commit, borrowed. */
struct cache context_cache(struct context *c, const char *engine);

/* A device's hands. */
struct tuning context_tuning(struct context *c);

#endif
