// What the programs and libraries of this directory share.
int twice(int x);                   // of libuse.so; libpreload.so has another one
int through_plt(int (*f)(int), int x); // of libuse.so: calls f, and twice
extern __thread int counter;        // of libuse.so, general dynamic
extern int *pointers[4];            // of libuse.so: relative relocations
int resolved(void);                 // of libuse.so: chosen when it is relocated
int own_counter(int add);           // of libplugin.so: thread-local, local dynamic
