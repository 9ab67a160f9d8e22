#!/bin/sh
# Starts the simulated GPU host: a root, processes and a network of its own, with sshd and dockerd, as another machine
# would have them. Runs under `unshare --net --mount --pid --fork`; when dockerd ends, however it ends, the kernel ends
# and removes everything else, the network link included.
# Arguments: ROOT STATE RUN ADDRESS GATEWAY, then dockerd's own.
set -eu
root=$1 state=$2 run=$3 address=$4 gateway=$5
shift 5
files=$(dirname "$0")
link_deadline_ds=200

# /proc is still the parent namespace's, so this is the number that the machine outside knows this process by.
read -r host_pid _ < /proc/self/stat

# The root is shared with the lab's other engine and never written to: changes are kept apart, one set for each root.
here=$state/root changes=$state/changes-$(basename "$root")
mkdir -p "$here" "$changes/upper" "$changes/work" "$state/docker"
mount --make-rprivate /
mount -t overlay -o "lowerdir=$root,upperdir=$changes/upper,workdir=$changes/work" overlay "$here"
mount -t proc proc "$here/proc"
mount --rbind /sys "$here/sys"
mount --rbind /dev "$here/dev"
mount -t tmpfs -o mode=755 tmpfs "$here/run"
mkdir -p "$here$run" "$here/run/sshd" "$here/run/nvidia-simulated" "$here/var/lib/docker" "$here/old" "$here/srv"
mount --bind "$run" "$here$run"
mount --bind "$state/docker" "$here/var/lib/docker"

# The simulated driver: what it reports is in a directory that the lab rewrites while the host runs.
mkdir -p "$here/usr/lib/nvidia-simulated" "$run/cards"
install -m 0755 "$files/nvidia-smi" "$files/nvidia-smi.awk" "$run/cards/"
mount --bind "$run/cards" "$here/usr/lib/nvidia-simulated"
ln -sf ../lib/nvidia-simulated/nvidia-smi "$here/usr/bin/nvidia-smi"
install -m 0755 "$files/nvidia-container-runtime-hook" "$here/usr/bin/nvidia-container-runtime-hook"
# Before the real ones on PATH.
install -D -m 0755 "$files/runc" "$here/usr/local/sbin/runc"
install -D -m 0755 "$files/df" "$here/usr/local/bin/df"
ln -sf /usr/local/sbin/runc "$here/usr/bin/nvidia-container-runtime"

# Names resolve as outside, by way of the link.
resolver=/etc/resolv.conf
if ! grep -qE '^nameserver +[^1]|^nameserver +1[^2]|^nameserver +12[^7]' "$resolver" && [ -s /run/systemd/resolve/resolv.conf ]; then
    resolver=/run/systemd/resolve/resolv.conf
fi
cat "$resolver" > "$here/etc/resolv.conf"
echo gpu-host > "$here/etc/hostname"
hostname gpu-host
printf '127.0.0.1 localhost\n::1 localhost\n%s gpu-host\n' "$address" > "$here/etc/hosts"
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$here/etc/ssl/certs"
    cat /etc/ssl/certs/ca-certificates.crt > "$here/etc/ssl/certs/ca-certificates.crt"
fi

# sshd as Debian sets it up, MaxStartups and MaxSessions included, with the lab's host key as its only one.
install -m 0600 "$state/keys/host" "$here/etc/ssh/lab_host_key"
echo 'HostKey /etc/ssh/lab_host_key' > "$here/etc/ssh/sshd_config.d/lab.conf"
chroot "$here" sh -c 'id gpu > /dev/null 2>&1 || useradd --create-home --shell /bin/bash --groups docker gpu'
install -d -m 0700 "$here/home/gpu/.ssh"
install -m 0600 "$state/keys/client.pub" "$here/home/gpu/.ssh/authorized_keys"
chroot "$here" chown -R gpu:gpu /home/gpu/.ssh

cd "$here"
pivot_root . old
umount -l /old
echo "$host_pid" > "$run/engine.pid"

# The lab outside plugs the cable in once it knows the process.
waited_ds=0
until ip link show eth0 > /dev/null 2>&1; do
    [ "$waited_ds" -lt "$link_deadline_ds" ] || { echo "no network link came" >&2; exit 1; }
    sleep 0.1
    waited_ds=$((waited_ds + 1))
done
ip link set lo up
ip address add "$address/30" dev eth0
ip link set eth0 up
ip route add default via "$gateway"

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /usr/bin/docker-init -- sh -c '/usr/sbin/sshd -e && exec /usr/sbin/dockerd "$@"' dockerd "$@"
