package ir

// Inverse returns the integer comparison that is the negation of op.
func Inverse(op Op) (Op, bool) {
	switch op {
	case I32Eq, I64Eq:
		return op + (I32Ne - I32Eq), true
	case I32Ne, I64Ne:
		return op - (I32Ne - I32Eq), true
	case I32LtS, I64LtS:
		return op + (I32GeS - I32LtS), true
	case I32GeS, I64GeS:
		return op - (I32GeS - I32LtS), true
	case I32LtU, I64LtU:
		return op + (I32GeU - I32LtU), true
	case I32GeU, I64GeU:
		return op - (I32GeU - I32LtU), true
	case I32GtS, I64GtS:
		return op + (I32LeS - I32GtS), true
	case I32LeS, I64LeS:
		return op - (I32LeS - I32GtS), true
	case I32GtU, I64GtU:
		return op + (I32LeU - I32GtU), true
	case I32LeU, I64LeU:
		return op - (I32LeU - I32GtU), true
	}
	return Invalid, false
}
