#!/bin/sh
# A program whose hash is not in the map: one byte is added to a known one.
cp /bin/busybox /tmp/busybox
/tmp/busybox echo "a copy has the same hash and runs"
echo x >> /tmp/busybox
/tmp/busybox echo "this must not be printed" || echo "status $? (126: found, but may not run)"
printf '#!/bin/sh\necho "this must not be printed"\n' > /tmp/script
chmod +x /tmp/script
/tmp/script || echo "status $?"
