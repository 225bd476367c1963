// A switch in a loop: a small bytecode interpreter.
#include "kernel.h"
enum op { PUSH, ADD, SUB, MUL, XOR, DUP, SWAP, DROP, LOAD, STORE, LESS, JUMP_IF, JUMP, SHIFT, AND, HALT };
static const int32_t program[] = {
    PUSH, 0, STORE, 0, PUSH, 1, STORE, 1,
    /* 8: */ LOAD, 0, PUSH, 7, MUL, LOAD, 1, XOR, DUP, PUSH, 3, SHIFT, ADD, STORE, 1,
    /* 23: */ LOAD, 0, PUSH, 1, ADD, DUP, STORE, 0, PUSH, 1000000, LESS, JUMP_IF, 8,
    /* 36: */ LOAD, 1, DUP, PUSH, 65535, AND, SWAP, DROP, HALT,
};
static __attribute__((noinline)) uint64_t run(void) {
    uint64_t stack[32], vars[4] = {0};
    int sp = 0;
    for (const int32_t *pc = program;;) {
        switch ((enum op)*pc++) {
        case PUSH: stack[sp++] = (uint64_t)*pc++; break;
        case ADD: sp--; stack[sp - 1] += stack[sp]; break;
        case SUB: sp--; stack[sp - 1] -= stack[sp]; break;
        case MUL: sp--; stack[sp - 1] *= stack[sp]; break;
        case XOR: sp--; stack[sp - 1] ^= stack[sp]; break;
        case AND: sp--; stack[sp - 1] &= stack[sp]; break;
        case DUP: stack[sp] = stack[sp - 1]; sp++; break;
        case SWAP: { uint64_t t = stack[sp - 1]; stack[sp - 1] = stack[sp - 2]; stack[sp - 2] = t; break; }
        case DROP: sp--; break;
        case LOAD: stack[sp++] = vars[*pc++]; break;
        case STORE: vars[*pc++] = stack[--sp]; break;
        case LESS: sp--; stack[sp - 1] = stack[sp - 1] < stack[sp]; break;
        case JUMP_IF: if (stack[--sp]) pc = program + *pc; else pc++; break;
        case JUMP: pc = program + *pc; break;
        case SHIFT: sp--; stack[sp - 1] >>= stack[sp] & 63; break;
        case HALT: return stack[sp - 1] + vars[1];
        }
    }
}
KERNEL("interp", 10, for (long i = 0; i < n; i++) sum = sum * 3 + run())
