/* What io_shim.c shares with who controls it: a file that both map, named by ISSUERD_IO_CONTROL. */
#pragma once

#include <stdatomic.h>

enum io_call {
    IO_NONE,
    IO_WRITE, /* write, pwrite */
    IO_SYNC,  /* fsync, fdatasync */
    IO_RENAME,
};

struct io_control {
    _Atomic int call;       /* enum io_call: which fail */
    _Atomic int error;      /* errno; 0: the process is killed */
    _Atomic unsigned after; /* so many go well first */
    _Atomic int lasts;      /* all fail, until `call` is IO_NONE */
    _Atomic unsigned fired;
};
