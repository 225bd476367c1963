// malloc, free and pointers: binary trees built, walked and freed.
#include "kernel.h"
struct node { struct node *left, *right; uint32_t key; };
static __attribute__((noinline)) struct node *build(int depth) {
    struct node *t = malloc(sizeof *t);
    if (!t) exit(1);
    t->key = rng();
    t->left = depth ? build(depth - 1) : NULL;
    t->right = depth ? build(depth - 1) : NULL;
    return t;
}
static __attribute__((noinline)) uint64_t walk(const struct node *t) { return t ? t->key + walk(t->left) * 3 + walk(t->right) : 0; }
static __attribute__((noinline)) void release(struct node *t) {
    if (!t) return;
    release(t->left);
    release(t->right);
    free(t);
}
KERNEL("tree", 240, for (long i = 0; i < n; i++) { struct node *t = build(15); sum += walk(t); release(t); })
