// What the compiler calls for large copies and fills: an object imports nothing.
typedef unsigned long size;
#define NOBUILTIN HIDDEN __attribute__((no_builtin))
#define BULK 1024 // bytes, from which the processor's own instruction is faster

NOBUILTIN void *memcpy(void *restrict to, const void *restrict from, size n) {
	u8 *d = to;
	const u8 *s = from;
#if defined(__x86_64__)
	if (n >= BULK) {
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		return to;
	}
#endif
	for (; n >= 16; d += 16, s += 16, n -= 16)
		*(v128_unaligned *)d = *(const v128_unaligned *)s;
	for (; n > 0; n--)
		*d++ = *s++;
	return to;
}

NOBUILTIN void *memmove(void *to, const void *from, size n) {
	u8 *d = to;
	const u8 *s = from;
	if ((size)(d - s) >= n) { // also if to lies below from
#if defined(__x86_64__)
		if (n >= BULK) {
			__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
			return to;
		}
#endif
		for (; n >= 16; d += 16, s += 16, n -= 16) {
			v128 v = *(const v128_unaligned *)s;
			*(v128_unaligned *)d = v;
		}
		for (; n > 0; n--)
			*d++ = *s++;
		return to;
	}
	for (; n >= 16; n -= 16) {
		v128 v = *(const v128_unaligned *)(s + n - 16);
		*(v128_unaligned *)(d + n - 16) = v;
	}
	for (; n > 0; n--)
		d[n - 1] = s[n - 1];
	return to;
}

NOBUILTIN void *memset(void *to, int value, size n) {
	u8 *d = to;
#if defined(__x86_64__)
	if (n >= BULK) {
		__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
		return to;
	}
#endif
	v128 v = (v128)((u8x16){0} + (u8)value);
	for (; n >= 16; d += 16, n -= 16)
		*(v128_unaligned *)d = v;
	for (; n > 0; n--)
		*d++ = (u8)value;
	return to;
}

// The functions of module guest that processors from x86-64-v3 on have
// instructions for. That the operands of a multiplication stand in order decides
// which NaN comes out.
#if defined(__x86_64__) && defined(__FMA__)
HIDDEN v128 guest_fma_f64x2(struct context *c, v128 x, v128 y, v128 z) {
	__asm__("vfmadd213pd %2, %1, %0" : "+x"(y) : "x"(x), "x"(z));
	return y;
}
HIDDEN v128 guest_fma_f32x4(struct context *c, v128 x, v128 y, v128 z) {
	__asm__("vfmadd213ps %2, %1, %0" : "+x"(y) : "x"(x), "x"(z));
	return y;
}
HIDDEN v128 guest_fma_f32x2(struct context *c, v128 x, v128 y, v128 z) {
	return (v128){guest_fma_f32x4(c, x, y, z)[0], 0};
}
HIDDEN u64 guest_pdep(struct context *c, u64 source, u64 mask) { return _pdep_u64(source, mask); }
HIDDEN u64 guest_pext(struct context *c, u64 source, u64 mask) { return _pext_u64(source, mask); }
HIDDEN u32 guest_f32_to_f16(struct context *c, u32 bits, u32 mode) {
	switch (mode) {
	case 0: return _cvtss_sh(f32_of(bits), 0);
	case 1: return _cvtss_sh(f32_of(bits), 1);
	case 2: return _cvtss_sh(f32_of(bits), 2);
	}
	return _cvtss_sh(f32_of(bits), 3);
}
#endif
