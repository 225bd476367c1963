# One function for each shape of code that is hard to find. A label code_... is
# where a block must start, a label data_... where no instruction may lie. The
# test analyzes the program without its symbols.
	.macro begin name
	.p2align 4
\name:	.cfi_startproc
	.endm
	.macro finish
	.cfi_endproc
	.endm
	.macro case label
code_\label:
	movl $1, %eax
	ret
	.endm

	.text
	.globl _start
_start:
	call bounded
	call unbounded
	call signedbound
	call inloop
	call labels
	call scaled
	call afterdata
	call absent
	call trap
	call locked
	call one
	hlt

# A table of offsets with a comparison before it.
	begin bounded
	cmpl $2, %edi
	ja code_bounded_default
	leaq tablebounded(%rip), %rdx
	movslq (%rdx,%rdi,4), %rax
	addq %rdx, %rax
	jmp *%rax
	case bounded_0
	case bounded_1
	case bounded_2
	case bounded_default
	finish

# Without one: it ends where another table begins.
	begin unbounded
	leaq tableunbounded(%rip), %rdx
	movslq (%rdx,%rdi,4), %rax
	addq %rdx, %rax
	jmp *%rax
	case unbounded_0
	case unbounded_1
	finish

# Entry 0 does not occur and leads nowhere.
	begin signedbound
	cmpq $3, %rcx
	jge code_signedbound_default
	leaq tablesigned(%rip), %r9
	movslq (%r9,%rcx,4), %r10
	addq %r10, %r9
	jmp *%r9
	case signedbound_1
	case signedbound_2
	case signedbound_default
	finish

# The address of the table is made before a loop, the way back leads into it.
	begin inloop
	leaq tableloop(%rip), %r15
	jmp 2f
	.p2align 4
code_inloop_body:
	call one
	decq %rbx
	je 3f
2:	cmpb $0, (%rbp)
	jne code_inloop_body
	movl (%rdi), %eax
	movslq (%r15,%rax,4), %rax
	addq %r15, %rax
	jmp *%rax
	case inloop_0
	case inloop_1
3:	ret
	finish

# Labels as values.
	begin labels
	leaq places(%rip), %rdx
	movq (%rdx,%rdi,8), %rax
	nop
	jmp *%rax
	case labels_0
	case labels_1
	case labels_2
	finish

# Code of equal lengths, as in libffi.
	begin scaled
	leaq code_scaled_0(%rip), %r10
	cmpl $2, %ecx
	leaq (%r10,%rcx,8), %r10
	ja code_scaled_default
	jmp *%r10
	.p2align 3
code_scaled_0:
	movzbl %al, %eax
	ret
	.p2align 3
code_scaled_1:
	movsbl %al, %eax
	ret
	.p2align 3
code_scaled_2:
	leave
	ret
	.p2align 3
	case scaled_default
	finish

# Constants in text, and behind them a function that is not aligned and has no
# unwind table.
	.p2align 6
data_constants:
	.quad 0x1beb7c859866b1a7, 0xac86e135e6ac2297, 0x6522dd8d270780b6, 0x3e3f8069ecdb04a8
	.quad 0x09037f5fd0ba3bf7, 0x853ba87f198ead73, 0x2e90478ed080095c, 0x25e91acb989f734a
	.asciz "Constants for x86_64, between functions"
	.byte 1
afterdata:
code_afterdata:
	leaq data_constants(%rip), %rsi
	movdqu 16(%rsi), %xmm0
	ret

# Code behind instructions that only other processors have.
	begin absent
	.byte 0x66, 0x4c, 0x0f, 0x38, 0xf6, 0xc9		# adcx
	.byte 0xc4, 0xe3, 0xf9, 0x6b, 0xc2, 0x10		# fma4
	.byte 0x8f, 0xe8, 0x78, 0xc2, 0xec, 0x0e		# xop
code_absent:
	ret
	finish

# A handler of SIGTRAP returns behind a breakpoint.
	begin trap
	movl $1, %eax
	int3
code_trap:
	movl $2, %eax
	int3
	.byte 0x06
	finish

# A jump past a LOCK prefix.
	begin locked
	cmpl $0, flag(%rip)
	je 1f
	lock
1:	cmpxchgl %ecx, flag(%rip)
	ret
	finish

# A jump to one address.
	begin one
	leaq code_one(%rip), %rax
	jmp *%rax
	.p2align 4
	case one
	finish

	.section .rodata
	.p2align 2
tablebounded:
	.long code_bounded_0 - tablebounded, code_bounded_1 - tablebounded, code_bounded_2 - tablebounded
tableunbounded:
	.long code_unbounded_0 - tableunbounded, code_unbounded_1 - tableunbounded
tablesigned:
	.long 0, code_signedbound_1 - tablesigned, code_signedbound_2 - tablesigned
tableloop:
	.long code_inloop_0 - tableloop, code_inloop_1 - tableloop

	.section .data.rel.ro, "aw"
	.p2align 3
places:	.quad code_labels_0, code_labels_1, code_labels_2
	.data
flag:	.long 0
