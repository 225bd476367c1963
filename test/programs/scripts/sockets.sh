# perl: its socket modules.
cd /tmp; cat > s.pl <<'PERL'
use strict; use warnings; use Socket qw(:all); use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select; use POSIX ":sys_wait_h"; $| = 1; $SIG{PIPE} = "IGNORE";
my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", Proto => "tcp", ReuseAddr => 1) or die $@; my $port = $l->sockport;
for my $n (1 .. 3) { if (!fork) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die; print $c "hello $n\n"; my $r = <$c>; exit($r eq "HELLO $n\n" ? 0 : 1) } }
for (1 .. 3) { my $c = $l->accept; my $x = <$c>; print $c uc $x; close $c } my $st = 0; $st |= $? while wait > 0; print "children $st\n";
my $u = IO::Socket::UNIX->new(Local => "/tmp/perl.sock", Listen => 1) or die; if (!fork) { my $c = IO::Socket::UNIX->new(Peer => "/tmp/perl.sock"); print $c "unix\n"; exit } my $c = $u->accept; print scalar <$c>; wait;
socket my $s, PF_INET, SOCK_DGRAM, 0; bind $s, pack_sockaddr_in(0, INADDR_LOOPBACK); my $me = getsockname $s; send $s, "datagram", 0, $me; my $from = recv $s, my $b, 100, 0; print "$b ", $from eq $me ? "from me" : "?", "\n"; print inet_ntoa((unpack_sockaddr_in $me)[1]), " ", unpack("i", getsockopt $s, SOL_SOCKET, SO_TYPE), "\n";
socketpair my $p, my $q, AF_UNIX, SOCK_STREAM, PF_UNSPEC; my $sel = IO::Select->new($p, $q); print scalar($sel->can_read(0)), " ", scalar($sel->can_write(0)), "\n"; syswrite $p, "ab"; print scalar($sel->can_read(1)), "\n"; shutdown $p, 1; sysread $q, $b, 10; print "$b ", sysread($q, $b, 10), "\n"; my ($err, @r) = getaddrinfo "localhost", 80, { family => AF_INET, socktype => SOCK_STREAM }; print $err || "none", " ", scalar(@r), "\n"; print IO::Socket::INET->new(PeerAddr => "127.0.0.1:1") ? "?" : "$!\n"; my $t = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 2); print $t->connected ? "connected\n" : "no\n"; print $t->peerhost, " ", $t->sockopt(SO_KEEPALIVE), "\n"; $t->blocking(0); print defined sysread($t, $b, 1) ? "?" : "$!\n"; local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; accept my $x, $u; }; print $@; print gethostbyname("localhost") ? inet_ntoa(scalar gethostbyname "localhost") : "?", "\n";
PERL
perl s.pl 2>&1
