/* image.h - a few arrays in one run of bytes that can be used where it lies: mapped, not read.
 *
 * A header (magic, version, length, a BLAKE2b hash of all behind it, the place of each part), then
 * the parts, each at a multiple of IMAGE_ALIGN in the bytes.  Numbers are the machine's own: an
 * image is made where it is used, and one from elsewhere has another version number to this reader.
 *
 * What the parts mean, and whether their numbers can be believed, is for who wrote them to check.
 *
 * Units   lengths are bytes.
 * Errors  ERR_FORMAT says what is wrong; ERR_STALE: another version; ERR_ARG: bytes that are not
 *         at a multiple of 16 in memory; ERR_NOMEM.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define IMAGE_VERSION 1u
#define IMAGE_PARTS   16 /* at most */
#define IMAGE_ALIGN   64

struct image_part {
    const void *at; /* into the image's bytes when it was read from there */
    size_t len;
};

/* Replaces what is in out.  0 or ERR_NOMEM. */
int image_write(struct buf *out, const struct image_part *parts, size_t n) MUSTCHECK;

/* bytes: borrowed, and the parts point into them. */
int image_read(struct image_part *parts, size_t n, const void *bytes, size_t len,
               struct errmsg *e) MUSTCHECK;

#endif
