# Facts of a GPU host, in one go and as sections of text; what they mean is judged elsewhere. Runs under any POSIX sh.
# PREFIX, IMAGES, WEIGHTS, LOCAL_WEIGHTS and FIELDS are set in lines before this one.
LC_ALL=C
export LC_ALL
section() { printf '\n@@%s\n' "$1"; }

section docker
docker info --format '{{json .}}' 2>&1
root=$(docker info --format '{{.DockerRootDir}}' 2> /dev/null)

section images
for image in $IMAGES; do
    docker image inspect --format '{{.Id}}' "$image" > /dev/null 2>&1 && echo "$image"
done

section containers
docker ps --no-trunc --filter "label=pageindex-stack.stack=$PREFIX" --format '{{.ID}} {{.Names}}' 2> /dev/null

section published
docker container inspect --format '{{json .HostConfig.PortBindings}}' "$PREFIX-gateway" 2> /dev/null

section listening
cat /proc/net/tcp /proc/net/tcp6 2> /dev/null | grep ' 0A '

section disk
for directory in "$root" /var/lib/containerd; do
    [ -d "$directory" ] && df -Pk "$directory" 2> /dev/null | sed -n "2s|\$| $directory|p"
done

section weights
volume=$(docker volume inspect --format '{{.Mountpoint}}' "$PREFIX-models" 2> /dev/null) && {
    if [ -f "$volume/$WEIGHTS/READY" ]; then echo ready
    elif [ -r "$volume" ] && [ -x "$volume" ]; then echo missing
    else echo unknown; fi
}

section local_weights
[ -n "$LOCAL_WEIGHTS" ] && ls -1L "$LOCAL_WEIGHTS" 2>&1

section toolkit
for tool in nvidia-container-runtime-hook nvidia-ctk; do
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$tool"
done
grep -ls 'nvidia.com/gpu' /etc/cdi/* /var/run/cdi/* 2> /dev/null

section cards
nvidia-smi --query-gpu=$FIELDS --format=csv,noheader,nounits 2>&1
echo "exit $?"

section processes
nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory,process_name --format=csv,noheader,nounits 2> /dev/null |
    while IFS= read -r process; do
        pid=${process#*, }
        pid=${pid%%,*}
        printf '%s\t%s\n' "$process" "$(tr '\n' ' ' < "/proc/$pid/cgroup" 2> /dev/null)"
    done

section memory
grep -E '^(MemTotal|MemAvailable):' /proc/meminfo

section machine
uname -m
