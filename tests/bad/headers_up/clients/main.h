#ifndef CLIENTS_MAIN_H
#define CLIENTS_MAIN_H
#endif
