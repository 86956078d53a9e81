/* up.h - a contract that knows who uses it. */
#ifndef SCHEMA_UP_H
#define SCHEMA_UP_H

#include "clients/main.h"

#endif
