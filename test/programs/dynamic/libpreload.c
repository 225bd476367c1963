#include "lib.h"
int twice(int x) { return 1000 * x; }
