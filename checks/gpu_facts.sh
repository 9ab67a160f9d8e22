# What one replica sees and says. CONTAINER and FIELDS are set in lines before this one; POSIX sh.
section() { printf '\n@@%s\n' "$1"; }

section "container"
docker container inspect --format '{{.Id}}|{{.State.Running}}|{{.State.StartedAt}}' "$CONTAINER" 2>&1

section "cuda"
docker container inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$CONTAINER" 2> /dev/null | grep '^CUDA_VERSION='

section "cards"
docker exec "$CONTAINER" nvidia-smi --query-gpu=$FIELDS --format=csv,noheader,nounits 2>&1
echo "exit $?"

# Only what this run of the process said: Docker keeps the lines of earlier ones.
section "log"
docker logs --since "$(docker container inspect --format '{{.State.StartedAt}}' "$CONTAINER")" "$CONTAINER" 2>&1 |
    grep -E 'KV cache size: |using nccl==|world[ _]size[ =]|ustom (allreduce|collectives)|NCCL (WARN|error)|ncclSystemError|ncclUnhandledCudaError|ncclInternalError' |
    head -n 200
