package machine

// slowTouchMap reads /proc/self/pagemap, as on hosts before Linux 6.7.
func slowTouchMap() *touchMap {
	t := newTouchMap()
	t.noScan = true
	return t
}
