#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H
#endif
