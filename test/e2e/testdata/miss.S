# A program whose analysis misses code: it computes an address that nothing in
# the file holds, and the bytes there do not look like code to a reader that
# only guesses: they follow data, without alignment.
	.globl _start
	.type _start, @function
	.text
_start:
	cmpq $1, (%rsp)			# argc
	jne out
	leaq seed(%rip), %rax
	movl (%rax), %ecx		# 0x1234567
	xorl $0x1234567 ^ (hidden - _start), %ecx
	leaq _start(%rip), %rax
	addq %rcx, %rax
	leaq message(%rip), %rsi
	call *%rax			# hidden
out:	xorl %edi, %edi
	movl $60, %eax			# exit
	syscall

	.byte 0x06, 0x16, 0x1e, 0x06, 0x16, 0x1e, 0x06	# no instructions of 64-bit mode
hidden:
	movl $1, %edi
	movl $6, %edx
	movl $1, %eax			# write
	syscall
	ret
	.byte 0x06, 0x16, 0x1e

	.section .rodata
message: .ascii "found\n"
	.data
seed:	.long 0x1234567
