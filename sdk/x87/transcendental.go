package x87

var (
	f2xm1   one = nop
	fyl2x   one = nop
	fptan   one = nop
	fpatan  one = nop
	fyl2xp1 one = nop
	fsincos one = nop
	fsin    one = nop
	fcos    one = nop
)
