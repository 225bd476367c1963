// The vector instructions of wasm.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define V2(NAME, T, EXPR) INLINE v128 NAME(v128 x, v128 y) { T a = (T)x, b = (T)y; return (v128)(EXPR); }
#define V1(NAME, T, EXPR) INLINE v128 NAME(v128 x) { T a = (T)x; return (v128)(EXPR); }

V2(v128_and, u64x2, a & b) V2(v128_andnot, u64x2, a & ~b) V2(v128_or, u64x2, a | b) V2(v128_xor, u64x2, a ^ b)
V1(v128_not, u64x2, ~a)
INLINE v128 v128_bitselect(v128 a, v128 b, v128 m) { return (a & m) | (b & ~m); }
INLINE u32 v128_any_true(v128 a) { return (a[0] | a[1]) != 0; }

// By lanes. SHAPE of N lanes of S and U, which come out of and go into W.
#define LANES(SHAPE, U, S, N, W, BITS) \
	INLINE v128 SHAPE##_splat(W v) { return (v128)((U##x##N){0} + (U)v); } \
	V2(SHAPE##_add, U##x##N, a + b) V2(SHAPE##_sub, U##x##N, a - b) \
	V2(SHAPE##_eq, U##x##N, a == b) V2(SHAPE##_ne, U##x##N, a != b) \
	V2(SHAPE##_lt_s, S##x##N, a < b) V2(SHAPE##_gt_s, S##x##N, a > b) \
	V2(SHAPE##_le_s, S##x##N, a <= b) V2(SHAPE##_ge_s, S##x##N, a >= b) \
	V1(SHAPE##_neg, U##x##N, -a) V1(SHAPE##_abs, S##x##N, __builtin_elementwise_abs(a)) \
	INLINE v128 SHAPE##_shl(v128 x, u32 n) { return (v128)((U##x##N)x << (U)(n & (BITS - 1))); } \
	INLINE v128 SHAPE##_shr_u(v128 x, u32 n) { return (v128)((U##x##N)x >> (U)(n & (BITS - 1))); } \
	INLINE v128 SHAPE##_shr_s(v128 x, u32 n) { return (v128)((S##x##N)x >> (S)(n & (BITS - 1))); } \
	INLINE u32 SHAPE##_all_true(v128 x) { U##x##N z = (U##x##N)((U##x##N)x == 0); return !v128_any_true((v128)z); } \
	INLINE v128 SHAPE##_replace_lane(v128 x, W v, int i) { U##x##N a = (U##x##N)x; a[i] = (U)v; return (v128)a; }
#define NARROW(SHAPE, U, S, N) \
	V2(SHAPE##_lt_u, U##x##N, a < b) V2(SHAPE##_gt_u, U##x##N, a > b) V2(SHAPE##_le_u, U##x##N, a <= b) V2(SHAPE##_ge_u, U##x##N, a >= b) \
	V2(SHAPE##_min_s, S##x##N, __builtin_elementwise_min(a, b)) V2(SHAPE##_min_u, U##x##N, __builtin_elementwise_min(a, b)) \
	V2(SHAPE##_max_s, S##x##N, __builtin_elementwise_max(a, b)) V2(SHAPE##_max_u, U##x##N, __builtin_elementwise_max(a, b))
LANES(i8x16, u8, s8, 16, u32, 8) LANES(i16x8, u16, s16, 8, u32, 16) LANES(i32x4, u32, s32, 4, u32, 32) LANES(i64x2, u64, s64, 2, u64, 64)
NARROW(i8x16, u8, s8, 16) NARROW(i16x8, u16, s16, 8) NARROW(i32x4, u32, s32, 4)
V2(i16x8_mul, u16x8, a * b) V2(i32x4_mul, u32x4, a * b) V2(i64x2_mul, u64x2, a * b)
INLINE u32 i8x16_extract_lane_s(v128 x, int i) { return (u32)(s32)((s8x16)x)[i]; }
INLINE u32 i8x16_extract_lane_u(v128 x, int i) { return ((u8x16)x)[i]; }
INLINE u32 i16x8_extract_lane_s(v128 x, int i) { return (u32)(s32)((s16x8)x)[i]; }
INLINE u32 i16x8_extract_lane_u(v128 x, int i) { return ((u16x8)x)[i]; }
INLINE u32 i32x4_extract_lane(v128 x, int i) { return ((u32x4)x)[i]; }
INLINE u64 i64x2_extract_lane(v128 x, int i) { return ((u64x2)x)[i]; }
INLINE f32 f32x4_extract_lane(v128 x, int i) { return ((f32x4)x)[i]; }
INLINE f64 f64x2_extract_lane(v128 x, int i) { return ((f64x2)x)[i]; }
INLINE v128 f32x4_replace_lane(v128 x, f32 v, int i) { f32x4 a = (f32x4)x; a[i] = v; return (v128)a; }
INLINE v128 f64x2_replace_lane(v128 x, f64 v, int i) { f64x2 a = (f64x2)x; a[i] = v; return (v128)a; }
INLINE v128 f32x4_splat(f32 v) { return (v128)(f32x4){v, v, v, v}; }
INLINE v128 f64x2_splat(f64 v) { return (v128)(f64x2){v, v}; }

// Each lane by itself, where the compiler's vectors have no operator.
#define EACH2(NAME, T, N, EXPR) INLINE v128 NAME(v128 x, v128 y) { T##x##N a = (T##x##N)x, b = (T##x##N)y, r = a; \
	for (int i = 0; i < N; i++) r[i] = (T)(EXPR); return (v128)r; }
#define EACH1(NAME, T, N, EXPR) INLINE v128 NAME(v128 x) { T##x##N a = (T##x##N)x, r = a; \
	for (int i = 0; i < N; i++) r[i] = (T)(EXPR); return (v128)r; }

// Floating point.
#define FLOATS(SHAPE, T, N, W, U) \
	V2(SHAPE##_add, T##x##N, a + b) V2(SHAPE##_sub, T##x##N, a - b) V2(SHAPE##_mul, T##x##N, a * b) V2(SHAPE##_div, T##x##N, a / b) \
	V2(SHAPE##_eq, T##x##N, a == b) V2(SHAPE##_ne, T##x##N, a != b) V2(SHAPE##_lt, T##x##N, a < b) \
	V2(SHAPE##_gt, T##x##N, a > b) V2(SHAPE##_le, T##x##N, a <= b) V2(SHAPE##_ge, T##x##N, a >= b) \
	EACH2(SHAPE##_min, T, N, W##_min(a[i], b[i])) EACH2(SHAPE##_max, T, N, W##_max(a[i], b[i])) \
	INLINE v128 SHAPE##_pmin(v128 x, v128 y) { U##x##N m = (U##x##N)((T##x##N)y < (T##x##N)x); return (v128)(((U##x##N)y & m) | ((U##x##N)x & ~m)); } \
	INLINE v128 SHAPE##_pmax(v128 x, v128 y) { U##x##N m = (U##x##N)((T##x##N)x < (T##x##N)y); return (v128)(((U##x##N)y & m) | ((U##x##N)x & ~m)); } \
	EACH1(SHAPE##_sqrt, T, N, W##_sqrt(a[i])) \
	V1(SHAPE##_ceil, T##x##N, __builtin_elementwise_ceil(a)) V1(SHAPE##_floor, T##x##N, __builtin_elementwise_floor(a)) \
	V1(SHAPE##_trunc, T##x##N, __builtin_elementwise_trunc(a)) EACH1(SHAPE##_nearest, T, N, W##_nearest(a[i]))
FLOATS(f32x4, f32, 4, f32, u32) FLOATS(f64x2, f64, 2, f64, u64)
INLINE v128 f32x4_abs(v128 x) { return (v128)((u32x4)x & 0x7fffffffu); }
INLINE v128 f32x4_neg(v128 x) { return (v128)((u32x4)x ^ 0x80000000u); }
INLINE v128 f64x2_abs(v128 x) { return x & 0x7fffffffffffffffull; }
INLINE v128 f64x2_neg(v128 x) { return x ^ 0x8000000000000000ull; }
INLINE v128 f32x4_convert_i32x4_s(v128 x) { return (v128)__builtin_convertvector((s32x4)x, f32x4); }
INLINE v128 f32x4_convert_i32x4_u(v128 x) { return (v128)__builtin_convertvector((u32x4)x, f32x4); }
INLINE v128 f64x2_convert_low_i32x4_s(v128 x) { s32x4 a = (s32x4)x; return (v128)(f64x2){a[0], a[1]}; }
INLINE v128 f64x2_convert_low_i32x4_u(v128 x) { u32x4 a = (u32x4)x; return (v128)(f64x2){a[0], a[1]}; }
INLINE v128 f64x2_promote_low_f32x4(v128 x) { f32x4 a = (f32x4)x; return (v128)(f64x2){a[0], a[1]}; }
INLINE v128 f32x4_demote_f64x2_zero(v128 x) { f64x2 a = (f64x2)x; return (v128)(f32x4){(f32)a[0], (f32)a[1], 0, 0}; }
#define TRUNCATE4(NAME, ONE) INLINE v128 NAME(v128 x) { f32x4 a = (f32x4)x; return (v128)(u32x4){ONE(a[0]), ONE(a[1]), ONE(a[2]), ONE(a[3])}; }
#define TRUNCATE2(NAME, ONE) INLINE v128 NAME(v128 x) { f64x2 a = (f64x2)x; return (v128)(u32x4){ONE(a[0]), ONE(a[1]), 0, 0}; }
TRUNCATE4(i32x4_trunc_sat_f32x4_s, i32_trunc_sat_f32_s) TRUNCATE4(i32x4_trunc_sat_f32x4_u, i32_trunc_sat_f32_u)
TRUNCATE2(i32x4_trunc_sat_f64x2_s_zero, i32_trunc_sat_f64_s) TRUNCATE2(i32x4_trunc_sat_f64x2_u_zero, i32_trunc_sat_f64_u)

// Wider and narrower lanes.
#define LOW(V, N, ...) __builtin_shufflevector(V, V, __VA_ARGS__)
#define EXTEND(SHAPE, FROM, US, SS, SN, UD, SD, DN, LOWS, HIGHS) \
	INLINE v128 SHAPE##_extend_low_##FROM##_s(v128 x) { return (v128)__builtin_convertvector(__builtin_shufflevector((SS##x##SN)x, (SS##x##SN)x, LOWS), SD##x##DN); } \
	INLINE v128 SHAPE##_extend_low_##FROM##_u(v128 x) { return (v128)__builtin_convertvector(__builtin_shufflevector((US##x##SN)x, (US##x##SN)x, LOWS), UD##x##DN); } \
	INLINE v128 SHAPE##_extend_high_##FROM##_s(v128 x) { return (v128)__builtin_convertvector(__builtin_shufflevector((SS##x##SN)x, (SS##x##SN)x, HIGHS), SD##x##DN); } \
	INLINE v128 SHAPE##_extend_high_##FROM##_u(v128 x) { return (v128)__builtin_convertvector(__builtin_shufflevector((US##x##SN)x, (US##x##SN)x, HIGHS), UD##x##DN); } \
	INLINE v128 SHAPE##_extmul_low_##FROM##_s(v128 x, v128 y) { return (v128)((SD##x##DN)SHAPE##_extend_low_##FROM##_s(x) * (SD##x##DN)SHAPE##_extend_low_##FROM##_s(y)); } \
	INLINE v128 SHAPE##_extmul_low_##FROM##_u(v128 x, v128 y) { return (v128)((UD##x##DN)SHAPE##_extend_low_##FROM##_u(x) * (UD##x##DN)SHAPE##_extend_low_##FROM##_u(y)); } \
	INLINE v128 SHAPE##_extmul_high_##FROM##_s(v128 x, v128 y) { return (v128)((SD##x##DN)SHAPE##_extend_high_##FROM##_s(x) * (SD##x##DN)SHAPE##_extend_high_##FROM##_s(y)); } \
	INLINE v128 SHAPE##_extmul_high_##FROM##_u(v128 x, v128 y) { return (v128)((UD##x##DN)SHAPE##_extend_high_##FROM##_u(x) * (UD##x##DN)SHAPE##_extend_high_##FROM##_u(y)); }
#define A8 0, 1, 2, 3, 4, 5, 6, 7
#define B8 8, 9, 10, 11, 12, 13, 14, 15
#define A4 0, 1, 2, 3
#define B4 4, 5, 6, 7
#define A2 0, 1
#define B2 2, 3
EXTEND(i16x8, i8x16, u8, s8, 16, u16, s16, 8, A8, B8)
EXTEND(i32x4, i16x8, u16, s16, 8, u32, s32, 4, A4, B4)
EXTEND(i64x2, i32x4, u32, s32, 4, u64, s64, 2, A2, B2)
#define PAIRWISE(NAME, S, SN, D, DN) INLINE v128 NAME(v128 x) { S##x##SN a = (S##x##SN)x; D##x##DN r = {0}; \
	for (int i = 0; i < DN; i++) r[i] = (D)((D)a[2 * i] + (D)a[2 * i + 1]); return (v128)r; }
PAIRWISE(i16x8_extadd_pairwise_i8x16_s, s8, 16, s16, 8) PAIRWISE(i16x8_extadd_pairwise_i8x16_u, u8, 16, u16, 8)
PAIRWISE(i32x4_extadd_pairwise_i16x8_s, s16, 8, s32, 4) PAIRWISE(i32x4_extadd_pairwise_i16x8_u, u16, 8, u32, 4)

#if defined(__x86_64__)
#define X2(NAME, INTRINSIC) INLINE v128 NAME(v128 a, v128 b) { return (v128)INTRINSIC((__m128i)a, (__m128i)b); }
X2(i8x16_add_sat_s, _mm_adds_epi8) X2(i8x16_add_sat_u, _mm_adds_epu8) X2(i8x16_sub_sat_s, _mm_subs_epi8) X2(i8x16_sub_sat_u, _mm_subs_epu8)
X2(i16x8_add_sat_s, _mm_adds_epi16) X2(i16x8_add_sat_u, _mm_adds_epu16) X2(i16x8_sub_sat_s, _mm_subs_epi16) X2(i16x8_sub_sat_u, _mm_subs_epu16)
X2(i8x16_avgr_u, _mm_avg_epu8) X2(i16x8_avgr_u, _mm_avg_epu16)
X2(i8x16_narrow_i16x8_s, _mm_packs_epi16) X2(i8x16_narrow_i16x8_u, _mm_packus_epi16)
X2(i16x8_narrow_i32x4_s, _mm_packs_epi32) X2(i16x8_narrow_i32x4_u, _mm_packus_epi32)
X2(i32x4_dot_i16x8_s, _mm_madd_epi16)
INLINE u32 i8x16_bitmask(v128 a) { return (u32)_mm_movemask_epi8((__m128i)a); }
INLINE u32 i16x8_bitmask(v128 a) { return (u32)_mm_movemask_epi8(_mm_packs_epi16((__m128i)a, _mm_setzero_si128())); }
INLINE u32 i32x4_bitmask(v128 a) { return (u32)_mm_movemask_ps((__m128)a); }
INLINE u32 i64x2_bitmask(v128 a) { return (u32)_mm_movemask_pd((__m128d)a); }
INLINE v128 i8x16_swizzle(v128 a, v128 i) { return (v128)_mm_shuffle_epi8((__m128i)a, _mm_adds_epu8((__m128i)i, _mm_set1_epi8(0x70))); }
#else
#define CLAMP(V, LOW, HIGH) ((V) < (LOW) ? (LOW) : (V) > (HIGH) ? (HIGH) : (V))
EACH2(i8x16_add_sat_s, s8, 16, CLAMP(a[i] + b[i], -128, 127)) EACH2(i8x16_add_sat_u, u8, 16, CLAMP(a[i] + b[i], 0, 255))
EACH2(i8x16_sub_sat_s, s8, 16, CLAMP(a[i] - b[i], -128, 127)) EACH2(i8x16_sub_sat_u, u8, 16, CLAMP(a[i] - b[i], 0, 255))
EACH2(i16x8_add_sat_s, s16, 8, CLAMP(a[i] + b[i], -32768, 32767)) EACH2(i16x8_add_sat_u, u16, 8, CLAMP(a[i] + b[i], 0, 65535))
EACH2(i16x8_sub_sat_s, s16, 8, CLAMP(a[i] - b[i], -32768, 32767)) EACH2(i16x8_sub_sat_u, u16, 8, CLAMP(a[i] - b[i], 0, 65535))
EACH2(i8x16_avgr_u, u8, 16, (a[i] + b[i] + 1) >> 1) EACH2(i16x8_avgr_u, u16, 8, (a[i] + b[i] + 1) >> 1)
#define PACK(NAME, S, SN, D, DN, LOW, HIGH) INLINE v128 NAME(v128 x, v128 y) { S##x##SN a = (S##x##SN)x, b = (S##x##SN)y; D##x##DN r = {0}; \
	for (int i = 0; i < SN; i++) { r[i] = (D)CLAMP(a[i], LOW, HIGH); r[i + SN] = (D)CLAMP(b[i], LOW, HIGH); } return (v128)r; }
PACK(i8x16_narrow_i16x8_s, s16, 8, s8, 16, -128, 127) PACK(i8x16_narrow_i16x8_u, s16, 8, u8, 16, 0, 255)
PACK(i16x8_narrow_i32x4_s, s32, 4, s16, 8, -32768, 32767) PACK(i16x8_narrow_i32x4_u, s32, 4, u16, 8, 0, 65535)
INLINE v128 i32x4_dot_i16x8_s(v128 x, v128 y) { s16x8 a = (s16x8)x, b = (s16x8)y; u32x4 r = {0}; \
	for (int i = 0; i < 4; i++) r[i] = (u32)(a[2 * i] * b[2 * i]) + (u32)(a[2 * i + 1] * b[2 * i + 1]); return (v128)r; }
#define BITMASK(SHAPE, S, N) INLINE u32 SHAPE##_bitmask(v128 x) { S##x##N a = (S##x##N)x; u32 r = 0; \
	for (int i = 0; i < N; i++) r |= (u32)(a[i] < 0) << i; return r; }
BITMASK(i8x16, s8, 16) BITMASK(i16x8, s16, 8) BITMASK(i32x4, s32, 4) BITMASK(i64x2, s64, 2)
INLINE v128 i8x16_swizzle(v128 x, v128 y) { u8x16 a = (u8x16)x, s = (u8x16)y, r = {0}; \
	for (int i = 0; i < 16; i++) r[i] = s[i] < 16 ? a[s[i] & 15] : 0; return (v128)r; }
#endif
EACH1(i8x16_popcnt, u8, 16, __builtin_popcount(a[i]))
EACH2(i16x8_q15mulr_sat_s, s16, 8, a[i] == -32768 && b[i] == -32768 ? 32767 : (a[i] * b[i] + 0x4000) >> 15)

// Loads and stores of parts.
INLINE v128 v128_load64_zero(struct context *c, u32 a, s64 off) { return (v128){i64_load(c, a, off), 0}; }
INLINE v128 v128_load32_zero(struct context *c, u32 a, s64 off) { return (v128){i32_load(c, a, off), 0}; }
INLINE v128 v128_load8_splat(struct context *c, u32 a, s64 off) { return i8x16_splat(i32_load8_u(c, a, off)); }
INLINE v128 v128_load16_splat(struct context *c, u32 a, s64 off) { return i16x8_splat(i32_load16_u(c, a, off)); }
INLINE v128 v128_load32_splat(struct context *c, u32 a, s64 off) { return i32x4_splat(i32_load(c, a, off)); }
INLINE v128 v128_load64_splat(struct context *c, u32 a, s64 off) { return i64x2_splat(i64_load(c, a, off)); }
INLINE v128 v128_load8x8_s(struct context *c, u32 a, s64 off) { return i16x8_extend_low_i8x16_s(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load8x8_u(struct context *c, u32 a, s64 off) { return i16x8_extend_low_i8x16_u(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load16x4_s(struct context *c, u32 a, s64 off) { return i32x4_extend_low_i16x8_s(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load16x4_u(struct context *c, u32 a, s64 off) { return i32x4_extend_low_i16x8_u(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load32x2_s(struct context *c, u32 a, s64 off) { return i64x2_extend_low_i32x4_s(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load32x2_u(struct context *c, u32 a, s64 off) { return i64x2_extend_low_i32x4_u(v128_load64_zero(c, a, off)); }
INLINE v128 v128_load8_lane(struct context *c, u32 a, s64 off, v128 v, int i) { return i8x16_replace_lane(v, i32_load8_u(c, a, off), i); }
INLINE v128 v128_load16_lane(struct context *c, u32 a, s64 off, v128 v, int i) { return i16x8_replace_lane(v, i32_load16_u(c, a, off), i); }
INLINE v128 v128_load32_lane(struct context *c, u32 a, s64 off, v128 v, int i) { return i32x4_replace_lane(v, i32_load(c, a, off), i); }
INLINE v128 v128_load64_lane(struct context *c, u32 a, s64 off, v128 v, int i) { return i64x2_replace_lane(v, i64_load(c, a, off), i); }
INLINE void v128_store8_lane(struct context *c, u32 a, s64 off, v128 v, int i) { i32_store8(c, a, off, i8x16_extract_lane_u(v, i)); }
INLINE void v128_store16_lane(struct context *c, u32 a, s64 off, v128 v, int i) { i32_store16(c, a, off, i16x8_extract_lane_u(v, i)); }
INLINE void v128_store32_lane(struct context *c, u32 a, s64 off, v128 v, int i) { i32_store(c, a, off, i32x4_extract_lane(v, i)); }
INLINE void v128_store64_lane(struct context *c, u32 a, s64 off, v128 v, int i) { i64_store(c, a, off, i64x2_extract_lane(v, i)); }
