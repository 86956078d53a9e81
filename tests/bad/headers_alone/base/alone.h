/* alone.h - uses size_t without saying where it is from. */
#ifndef BASE_ALONE_H
#define BASE_ALONE_H

#include "base/alone.h"

size_t alone(void);

#endif
