/* crossing.h - a worker that looks into the broker. */
#ifndef WORKER_CROSSING_H
#define WORKER_CROSSING_H

#include "broker/queue.h"

#endif
