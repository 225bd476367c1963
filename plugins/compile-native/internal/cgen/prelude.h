// The meaning of each wasm instruction in C, named as in the text format with
// underscores for dots. Included before the code of a unit. Little-endian
// hosts only; clang.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef float f32;
typedef double f64;

#define VECTORS(T, N) typedef T T##x##N __attribute__((vector_size(16)));
VECTORS(u8, 16) VECTORS(u16, 8) VECTORS(u32, 4) VECTORS(u64, 2)
VECTORS(s8, 16) VECTORS(s16, 8) VECTORS(s32, 4) VECTORS(s64, 2)
VECTORS(f32, 4) VECTORS(f64, 2)
typedef u64x2 v128;
#define HALF(T, N) typedef T half_##T __attribute__((vector_size(8)));
HALF(u8, 8) HALF(u16, 4) HALF(u32, 2) HALF(s8, 8) HALF(s16, 4) HALF(s32, 2) HALF(f32, 2)

#define INLINE static inline __attribute__((always_inline, unused, nodebug))
#define HIDDEN __attribute__((visibility("hidden")))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct place { u32 low, size; u32 (*enter)(struct context *, u32); };
struct unit { u32 base, admitted; };

// context is guestabi's native context; CONTEXT_REGS comes from the generator.
struct context {
	u8 *mem;
	void (*exit)(struct context *, u32);
	u64 stack_limit, host_sp, guest_sp, stack_top;
	u32 code, result;
	u64 fault_pc, fault_addr, mem_size;
	u64 args[8];
	u32 (*target)(struct context *, u32);
	struct place places[PLACE_SLOTS];
	u32 generation, place;
	u8 unused[NATIVE_REGS - NATIVE_GENERATION - 8];
	CONTEXT_REGS
	u8 unused2[NATIVE_UNITS - CONTEXT_REGS_END];
	struct unit units[];
};
_Static_assert(__builtin_offsetof(struct context, units) == NATIVE_UNITS, "native context");
_Static_assert(__builtin_offsetof(struct context, places) == NATIVE_PLACES, "native context");

// Which unit of the megabinary this is: set when the object is loaded.
extern u32 unit_index __attribute__((visibility("protected")));

register u64 stack_pointer __asm__("rsp");

#define BINARY(NAME, T, EXPR) INLINE T NAME(T a, T b) { return EXPR; }
#define UNARY(NAME, R, T, EXPR) INLINE R NAME(T a) { return EXPR; }
#define COMPARE(NAME, T, EXPR) INLINE u32 NAME(T a, T b) { return EXPR; }

// Integers.
#define INTEGER(W, U, S, BITS, CLZ, CTZ, POP) \
	BINARY(W##_add, U, a + b) BINARY(W##_sub, U, a - b) BINARY(W##_mul, U, a * b) \
	BINARY(W##_and, U, a & b) BINARY(W##_or, U, a | b) BINARY(W##_xor, U, a ^ b) \
	BINARY(W##_shl, U, a << (b & (BITS - 1))) BINARY(W##_shr_u, U, a >> (b & (BITS - 1))) \
	BINARY(W##_shr_s, U, (U)((S)a >> (b & (BITS - 1)))) \
	BINARY(W##_rotl, U, a << (b & (BITS - 1)) | a >> (-b & (BITS - 1))) \
	BINARY(W##_rotr, U, a >> (b & (BITS - 1)) | a << (-b & (BITS - 1))) \
	UNARY(W##_eqz, u32, U, a == 0) \
	COMPARE(W##_eq, U, a == b) COMPARE(W##_ne, U, a != b) \
	COMPARE(W##_lt_s, U, (S)a < (S)b) COMPARE(W##_lt_u, U, a < b) \
	COMPARE(W##_gt_s, U, (S)a > (S)b) COMPARE(W##_gt_u, U, a > b) \
	COMPARE(W##_le_s, U, (S)a <= (S)b) COMPARE(W##_le_u, U, a <= b) \
	COMPARE(W##_ge_s, U, (S)a >= (S)b) COMPARE(W##_ge_u, U, a >= b) \
	UNARY(W##_clz, U, U, a ? CLZ(a) : BITS) UNARY(W##_ctz, U, U, a ? CTZ(a) : BITS) \
	UNARY(W##_popcnt, U, U, POP(a)) \
	UNARY(W##_extend8_s, U, U, (U)(S)(s8)a) UNARY(W##_extend16_s, U, U, (U)(S)(s16)a)
INTEGER(i32, u32, s32, 32, __builtin_clz, __builtin_ctz, __builtin_popcount)
INTEGER(i64, u64, s64, 64, __builtin_clzll, __builtin_ctzll, __builtin_popcountll)
UNARY(i64_extend32_s, u64, u64, (u64)(s64)(s32)a)
UNARY(i32_wrap_i64, u32, u64, (u32)a)
UNARY(i64_extend_i32_s, u64, u32, (u64)(s64)(s32)a)
UNARY(i64_extend_i32_u, u64, u32, a)
#define DIVIDE(W, U, S, MIN) \
	INLINE int W##_div_s_traps(U a, U b) { return b == 0 || (a == MIN && b == (U)-1); } \
	INLINE int W##_div_u_traps(U a, U b) { return b == 0; } \
	INLINE int W##_rem_s_traps(U a, U b) { return b == 0; } \
	INLINE int W##_rem_u_traps(U a, U b) { return b == 0; } \
	BINARY(W##_div_s, U, (U)((S)a / (S)b)) BINARY(W##_div_u, U, a / b) \
	BINARY(W##_rem_s, U, b == (U)-1 ? 0 : (U)((S)a % (S)b)) BINARY(W##_rem_u, U, a % b)
DIVIDE(i32, u32, s32, 0x80000000u)
DIVIDE(i64, u64, s64, 0x8000000000000000ull)

// Floating point. A min or max of wasm gives a NaN for a NaN and orders zeros.
#define SCALAR(W, T, U, S, SIGN, SUFFIX) \
	INLINE U W##_bits(T a) { U u; __builtin_memcpy(&u, &a, sizeof u); return u; } \
	INLINE T W##_of(U u) { T a; __builtin_memcpy(&a, &u, sizeof a); return a; } \
	BINARY(W##_add, T, a + b) BINARY(W##_sub, T, a - b) BINARY(W##_mul, T, a * b) BINARY(W##_div, T, a / b) \
	COMPARE(W##_eq, T, a == b) COMPARE(W##_ne, T, a != b) COMPARE(W##_lt, T, a < b) \
	COMPARE(W##_gt, T, a > b) COMPARE(W##_le, T, a <= b) COMPARE(W##_ge, T, a >= b) \
	UNARY(W##_abs, T, T, W##_of(W##_bits(a) & ~SIGN)) UNARY(W##_neg, T, T, W##_of(W##_bits(a) ^ SIGN)) \
	BINARY(W##_copysign, T, W##_of((W##_bits(a) & ~SIGN) | (W##_bits(b) & SIGN))) \
	UNARY(W##_sqrt, T, T, __builtin_sqrt##SUFFIX(a)) UNARY(W##_ceil, T, T, __builtin_ceil##SUFFIX(a)) \
	UNARY(W##_floor, T, T, __builtin_floor##SUFFIX(a)) UNARY(W##_trunc, T, T, __builtin_trunc##SUFFIX(a)) \
	UNARY(W##_nearest, T, T, __builtin_rint##SUFFIX(a)) \
	BINARY(W##_min, T, a != a ? a : b != b ? b : a < b ? a : b < a ? b : W##_of(W##_bits(a) | W##_bits(b))) \
	BINARY(W##_max, T, a != a ? a : b != b ? b : a > b ? a : b > a ? b : W##_of(W##_bits(a) & W##_bits(b))) \
	UNARY(W##_convert_i32_s, T, u32, (T)(s32)a) UNARY(W##_convert_i32_u, T, u32, (T)a) \
	UNARY(W##_convert_i64_s, T, u64, (T)(s64)a) UNARY(W##_convert_i64_u, T, u64, (T)a)
SCALAR(f32, f32, u32, s32, 0x80000000u, f)
SCALAR(f64, f64, u64, s64, 0x8000000000000000ull, )
UNARY(f32_demote_f64, f32, f64, (f32)a) UNARY(f64_promote_f32, f64, f32, (f64)a)
UNARY(i32_reinterpret_f32, u32, f32, f32_bits(a)) UNARY(i64_reinterpret_f64, u64, f64, f64_bits(a))
UNARY(f32_reinterpret_i32, f32, u32, f32_of(a)) UNARY(f64_reinterpret_i64, f64, u64, f64_of(a))
// LOW and HIGH are the values next to those that no longer fit.
#define TRUNCATE(I, U, S, F, T, LOWS, HIGHS, HIGHU, MAXS, MINS, MAXU) \
	UNARY(I##_trunc_sat_##F##_s, U, T, a != a ? 0 : a < LOWS ? (U)MINS : a >= HIGHS ? (U)MAXS : (U)(S)a) \
	UNARY(I##_trunc_sat_##F##_u, U, T, !(a > 0) ? 0 : a >= HIGHU ? (U)MAXU : (U)a)
#define MAX32 0x7fffffff
#define MIN32 0x80000000
#define MAX64 0x7fffffffffffffffull
#define MIN64 0x8000000000000000ull
TRUNCATE(i32, u32, s32, f32, f32, -2147483648.0f, 2147483648.0f, 4294967296.0f, MAX32, MIN32, 0xffffffff)
TRUNCATE(i32, u32, s32, f64, f64, -2147483648.0, 2147483648.0, 4294967296.0, MAX32, MIN32, 0xffffffff)
TRUNCATE(i64, u64, s64, f32, f32, -9223372036854775808.0f, 9223372036854775808.0f, 18446744073709551616.0f, MAX64, MIN64, ~0ull)
TRUNCATE(i64, u64, s64, f64, f64, -9223372036854775808.0, 9223372036854775808.0, 18446744073709551616.0, MAX64, MIN64, ~0ull)

// Memory. An address is 32 bits and an offset less than 2^31: what lies behind
// linear memory is not mapped, so that the processor faults.
#define AT(C, ADDR, OFF) ((C)->mem + (s64)(OFF) + (u64)(ADDR))
#define ACCESS volatile
#define LOAD(NAME, R, T, CAST) \
	INLINE R NAME(struct context *c, u32 a, s64 off) { \
		struct __attribute__((packed)) p { T v; }; return (R)CAST((ACCESS struct p *)AT(c, a, off))->v; }
#define STORE(NAME, A, T) \
	INLINE void NAME(struct context *c, u32 a, s64 off, A v) { \
		struct __attribute__((packed)) p { T v; }; ((ACCESS struct p *)AT(c, a, off))->v = (T)v; }
LOAD(i32_load, u32, u32, ) LOAD(i64_load, u64, u64, ) LOAD(f32_load, f32, f32, ) LOAD(f64_load, f64, f64, )
LOAD(i32_load8_s, u32, s8, (s32)) LOAD(i32_load8_u, u32, u8, ) LOAD(i32_load16_s, u32, s16, (s32)) LOAD(i32_load16_u, u32, u16, )
LOAD(i64_load8_s, u64, s8, (s64)) LOAD(i64_load8_u, u64, u8, ) LOAD(i64_load16_s, u64, s16, (s64)) LOAD(i64_load16_u, u64, u16, )
LOAD(i64_load32_s, u64, s32, (s64)) LOAD(i64_load32_u, u64, u32, )
STORE(i32_store, u32, u32) STORE(i64_store, u64, u64) STORE(f32_store, f32, f32) STORE(f64_store, f64, f64)
STORE(i32_store8, u32, u8) STORE(i32_store16, u32, u16)
STORE(i64_store8, u64, u8) STORE(i64_store16, u64, u16) STORE(i64_store32, u64, u32)
typedef v128 v128_unaligned __attribute__((aligned(1)));
INLINE v128 v128_load(struct context *c, u32 a, s64 off) { return *(ACCESS v128_unaligned *)AT(c, a, off); }
INLINE void v128_store(struct context *c, u32 a, s64 off, v128 v) { *(ACCESS v128_unaligned *)AT(c, a, off) = v; }
INLINE int outside(struct context *c, u32 a, u32 n) { return (u64)a + n > c->mem_size; }
INLINE void bulk_fill(struct context *c, u32 a, u32 v, u32 n) { __builtin_memset(c->mem + a, (int)v, n); }
INLINE void bulk_copy(struct context *c, u32 to, u32 from, u32 n) { __builtin_memmove(c->mem + to, c->mem + from, n); }

// Atomics.
#define ATOMIC(W, U, WIDTH, T) \
	INLINE U W##_atomic_load##WIDTH(struct context *c, u32 a, s64 off) { return __atomic_load_n((T *)AT(c, a, off), __ATOMIC_SEQ_CST); } \
	INLINE void W##_atomic_store##WIDTH##_(struct context *c, u32 a, s64 off, U v) { __atomic_store_n((T *)AT(c, a, off), (T)v, __ATOMIC_SEQ_CST); }
#define RMW(NAME, U, T, OP) INLINE U NAME(struct context *c, u32 a, s64 off, U v) { return OP((T *)AT(c, a, off), (T)v, __ATOMIC_SEQ_CST); }
#define CMPXCHG(NAME, U, T) INLINE U NAME(struct context *c, u32 a, s64 off, U old, U v) { \
	T was = (T)old; __atomic_compare_exchange_n((T *)AT(c, a, off), &was, (T)v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); return was; }
#define RMWS(W, U, WIDTH, SUFFIX, T) \
	RMW(W##_atomic_rmw##WIDTH##_add##SUFFIX, U, T, __atomic_fetch_add) RMW(W##_atomic_rmw##WIDTH##_sub##SUFFIX, U, T, __atomic_fetch_sub) \
	RMW(W##_atomic_rmw##WIDTH##_and##SUFFIX, U, T, __atomic_fetch_and) RMW(W##_atomic_rmw##WIDTH##_or##SUFFIX, U, T, __atomic_fetch_or) \
	RMW(W##_atomic_rmw##WIDTH##_xor##SUFFIX, U, T, __atomic_fetch_xor) RMW(W##_atomic_rmw##WIDTH##_xchg##SUFFIX, U, T, __atomic_exchange_n) \
	CMPXCHG(W##_atomic_rmw##WIDTH##_cmpxchg##SUFFIX, U, T)
RMWS(i32, u32, , , u32) RMWS(i32, u32, 8, _u, u8) RMWS(i32, u32, 16, _u, u16)
RMWS(i64, u64, , , u64) RMWS(i64, u64, 8, _u, u8) RMWS(i64, u64, 16, _u, u16) RMWS(i64, u64, 32, _u, u32)
ATOMIC(i32, u32, , u32) ATOMIC(i32, u32, 8_u, u8) ATOMIC(i32, u32, 16_u, u16)
ATOMIC(i64, u64, , u64) ATOMIC(i64, u64, 8_u, u8) ATOMIC(i64, u64, 16_u, u16) ATOMIC(i64, u64, 32_u, u32)
#define i32_atomic_store i32_atomic_store_
#define i64_atomic_store i64_atomic_store_
#define i32_atomic_store8 i32_atomic_store8_u_
#define i32_atomic_store16 i32_atomic_store16_u_
#define i64_atomic_store8 i64_atomic_store8_u_
#define i64_atomic_store16 i64_atomic_store16_u_
#define i64_atomic_store32 i64_atomic_store32_u_
INLINE void atomic_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
