// A CoreMark-like mix: linked lists, a small integer matrix, a state machine
// over text, and a CRC over all of it.
#include "kernel.h"
static uint16_t crc16(uint16_t crc, uint16_t data) {
    for (int i = 0; i < 16; i++) {
        int bit = (data ^ crc) & 1;
        data >>= 1;
        crc >>= 1;
        if (bit) crc ^= 0xa001;
    }
    return crc;
}
struct item { struct item *next; int16_t value, index; };
static struct item items[256];
static __attribute__((noinline)) struct item *reverse(struct item *list) {
    struct item *out = NULL;
    while (list) { struct item *next = list->next; list->next = out; out = list; list = next; }
    return out;
}
static __attribute__((noinline)) struct item *merge_sort(struct item *list, int by_index) {
    if (!list || !list->next) return list;
    struct item *slow = list, *fast = list->next;
    while (fast && fast->next) { slow = slow->next; fast = fast->next->next; }
    struct item *right = merge_sort(slow->next, by_index);
    slow->next = NULL;
    struct item *left = merge_sort(list, by_index), head, *tail = &head;
    while (left && right) {
        int less = by_index ? left->index <= right->index : left->value <= right->value;
        struct item **from = less ? &left : &right;
        tail->next = *from;
        tail = *from;
        *from = (*from)->next;
    }
    tail->next = left ? left : right;
    return head.next;
}
enum { N = 24 };
static int16_t ma[N][N], mb[N][N];
static int32_t mc[N][N];
static __attribute__((noinline)) uint16_t matrix(uint16_t crc, int16_t add) {
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) ma[i][j] = (int16_t)(ma[i][j] + add);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int32_t s = 0;
            for (int k = 0; k < N; k++) s += ma[i][k] * mb[k][j];
            mc[i][j] = s;
        }
    for (int i = 0; i < N; i++) crc = crc16(crc, (uint16_t)(mc[i][N - 1 - i] >> 2));
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) ma[i][j] = (int16_t)(ma[i][j] - add);
    return crc;
}
static const char *const words[] = {"5012", "-874", "1.25", "3e7", "0x1f", "T0.3e-1F", "+122", "abc", ",", "35.54400"};
enum state { START, INT, FLOAT, EXPONENT, SCIENTIFIC, INVALID };
static __attribute__((noinline)) uint16_t states(uint16_t crc, unsigned seed) {
    unsigned counts[6] = {0};
    for (int w = 0; w < 40; w++) {
        enum state s = START;
        for (const char *p = words[(seed + (unsigned)w * 7) % 10]; *p; p++) {
            int digit = *p >= '0' && *p <= '9';
            switch (s) {
            case START: s = digit || *p == '+' || *p == '-' ? INT : *p == '.' ? FLOAT : INVALID; break;
            case INT: s = digit ? INT : *p == '.' ? FLOAT : *p == 'e' ? EXPONENT : INVALID; break;
            case FLOAT: s = digit ? FLOAT : *p == 'e' || *p == 'E' ? EXPONENT : INVALID; break;
            case EXPONENT: s = digit || *p == '-' ? SCIENTIFIC : INVALID; break;
            case SCIENTIFIC: s = digit ? SCIENTIFIC : INVALID; break;
            case INVALID: break;
            }
        }
        counts[s]++;
    }
    for (int i = 0; i < 6; i++) crc = crc16(crc, (uint16_t)counts[i]);
    return crc;
}
KERNEL("mix", 9000, {
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) { ma[i][j] = (int16_t)(rng() % 200); mb[i][j] = (int16_t)(rng() % 200); }
    for (int i = 0; i < 256; i++) items[i] = (struct item){i < 255 ? &items[i + 1] : NULL, (int16_t)rng(), (int16_t)i};
    struct item *list = items;
    uint16_t crc = 0;
    for (long i = 0; i < n; i++) {
        list = merge_sort(reverse(list), 0);
        for (struct item *p = list; p; p = p->next) if (p->index % 8 == 0) crc = crc16(crc, (uint16_t)p->value);
        list = merge_sort(list, 1);
        crc = matrix(crc, (int16_t)(i & 15));
        crc = states(crc, (unsigned)i);
    }
    sum = crc;
})
