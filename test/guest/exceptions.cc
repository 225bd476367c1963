// C++ exceptions: through many frames, out of signal handlers, rethrown, nested,
// chained, kept, out of destructors, and one that nobody catches.
// build: g++ -static -O2 -fnon-call-exceptions -Wall -Wno-terminate
// build: g++ -static -O0 -fnon-call-exceptions -Wall -Wno-terminate
// build: g++ -static-pie -O2 -fnon-call-exceptions -Wall -Wno-terminate
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#define NOINLINE __attribute__((noinline))

static int live; // objects that were made and not destroyed
struct Counted {
	Counted() { live++; }
	~Counted() { live--; }
};

NOINLINE static int deep(int n)
{
	Counted c;
	if (n == 0)
		throw std::runtime_error("bottom");
	return deep(n - 1) + 1;
}

NOINLINE static int rethrown(int n)
{
	Counted c;
	try {
		if (n == 0)
			throw std::string("x");
		return rethrown(n - 1);
	} catch (std::string &s) {
		s += "y";
		throw;
	}
}

NOINLINE static void chained(int n)
{
	Counted c;
	try {
		if (n == 0)
			throw 0;
		chained(n - 1);
	} catch (int v) {
		throw v + 1;
	}
}

static void thrower(int sig) { throw sig; }

struct Thrower {
	~Thrower() noexcept(false)
	{
		if (!std::uncaught_exceptions())
			throw 7;
	}
};

struct Base {
	virtual ~Base() {}
	virtual int number() const { return 1; }
};
struct Derived : Base {
	int number() const override { return 2; }
};
struct Error : std::logic_error {
	std::unique_ptr<Base> cause;
	Error(const char *what) : std::logic_error(what), cause(new Derived) {}
};

static void frames()
{
	for (int n : {0, 1, 100, 1000, 20000}) {
		try {
			deep(n);
		} catch (std::exception &e) {
			printf("deep %d: %s, %d live\n", n, e.what(), live);
		}
	}
	try {
		rethrown(50);
	} catch (std::string &s) {
		printf("rethrown: %zu, %d live\n", s.size(), live);
	}
	try {
		chained(200);
	} catch (int v) {
		printf("chained: %d, %d live\n", v, live);
	}
	long sum = 0;
	for (int i = 0; i < 20000; i++) {
		try {
			Counted c;
			switch (i % 4) {
			case 0: throw i;
			case 1: throw 1.5;
			case 2: throw "text";
			case 3: throw Error("error");
			}
		} catch (int v) {
			sum += v;
		} catch (double d) {
			sum += d * 2;
		} catch (Error &e) {
			sum += e.cause->number();
		} catch (...) {
			sum--;
		}
	}
	printf("kinds: %ld, %d live\n", sum, live);
}

static void signals()
{
	struct sigaction sa = {};
	sa.sa_handler = thrower;
	sa.sa_flags = SA_NODEFER;
	for (int sig : {SIGSEGV, SIGFPE, SIGUSR1})
		sigaction(sig, &sa, nullptr);
	long caught = 0;
	for (int i = 0; i < 500; i++) {
		try {
			Counted c;
			*(volatile int *)(long)(8 * i) = i;
			printf("no fault\n");
		} catch (int sig) {
			caught += sig;
		}
	}
	printf("stores: %ld, %d live\n", caught, live);
	caught = 0;
	volatile int zero = 0;
	for (int i = 0; i < 100; i++) {
		try {
			Counted c;
			printf("no fault: %d\n", i / zero);
		} catch (int sig) {
			caught += sig;
		}
	}
	printf("divisions: %ld, %d live\n", caught, live);
	for (int i = 0; i < 3; i++) {
		try {
			Counted c;
			try {
				deep(*(volatile int *)(long)(0x20 + i));
			} catch (std::runtime_error &) {
				printf("wrong handler\n");
			}
		} catch (int sig) {
			printf("load: %d, %d live\n", sig, live);
		}
	}
}

static void kinds()
{
	std::unique_ptr<Base> b(new Derived);
	printf("dynamic: %d %d %s\n", b->number(), dynamic_cast<Derived *>(b.get()) != nullptr, typeid(*b).name());
	try {
		std::vector<int>().at(3);
	} catch (std::out_of_range &) {
		printf("out of range\n");
	}
	std::exception_ptr kept;
	try {
		throw Error("kept");
	} catch (...) {
		kept = std::current_exception();
	}
	try {
		std::rethrow_exception(kept);
	} catch (std::logic_error &e) {
		printf("%s\n", e.what());
	}
	try {
		try {
			throw 1;
		} catch (int) {
			try {
				throw 2;
			} catch (int v) {
				printf("inner %d\n", v);
			}
			throw;
		}
	} catch (int v) {
		printf("outer %d\n", v);
	}
	try {
		std::function<void()> empty;
		empty();
	} catch (std::bad_function_call &) {
		printf("bad function call\n");
	}
	try {
		Thrower t;
	} catch (int v) {
		printf("destructor %d\n", v);
	}
	try {
		dynamic_cast<Derived &>(*std::unique_ptr<Base>(new Base));
	} catch (std::bad_cast &) {
		printf("bad cast\n");
	}
	try {
		new char[(size_t)1 << 60];
	} catch (std::bad_alloc &) {
		printf("bad alloc\n");
	}
	try {
		std::stoi("word");
	} catch (std::invalid_argument &) {
		printf("invalid argument\n");
	}
}

int main()
{
	frames();
	signals();
	kinds();
	std::set_terminate([] {
		printf("terminated, %d live\n", live);
		fflush(stdout);
		std::abort();
	});
	deep(3);
}
