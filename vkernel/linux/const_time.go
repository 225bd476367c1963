package linux

// Clocks (clock_gettime(2)) and flags.
const (
	CLOCK_REALTIME           = 0
	CLOCK_MONOTONIC          = 1
	CLOCK_PROCESS_CPUTIME_ID = 2
	CLOCK_THREAD_CPUTIME_ID  = 3
	CLOCK_MONOTONIC_RAW      = 4
	CLOCK_REALTIME_COARSE    = 5
	CLOCK_MONOTONIC_COARSE   = 6
	CLOCK_BOOTTIME           = 7
	CLOCK_REALTIME_ALARM     = 8
	CLOCK_BOOTTIME_ALARM     = 9
	CLOCK_TAI                = 11
	TIMER_ABSTIME            = 1
	ITIMER_REAL              = 0
	ITIMER_VIRTUAL           = 1
	ITIMER_PROF              = 2
	TFD_CLOEXEC              = 0x80000
	TFD_NONBLOCK             = 0x800
	TFD_TIMER_ABSTIME        = 1
)

// Special nanosecond values of utimensat(2).
const (
	UTIME_NOW  = 0x3fffffff
	UTIME_OMIT = 0x3ffffffe
)
