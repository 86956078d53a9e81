#ifndef KERNELS_ONE_H
#define KERNELS_ONE_H

#include "kernels/one.h"

#endif
