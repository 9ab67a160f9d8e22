# nvidia-smi's answers. In a container it counts the memory that processes use and, as the real one, lists none of them:
# their ids are another process namespace's. Input, by lines of the file `cards` and of the running processes:
#   driver|VERSION|CUDA
#   gpu|UUID|NAME|TOTAL MIB or N/A|CAPACITY MIB|RESERVED MIB|USED MIB|CELSIUS|WATTS|LIMIT W or N/A|COMPUTE CAP|BUS ID
#   process|UUID|PID|NAME|MIB        one that is not ours
#   compute|PID|NAME|SHARE|0,1       vLLM's

function in_list(item, list) { return index("," list ",", "," item ",") > 0 }
function bracket(value) { return value == "N/A" ? "[N/A]" : value }
function unit(value, what) { return units && value != "[N/A]" ? value " " what : value }

BEGIN { cards = processes = shown_count = 0 }
$1 == "driver" { driver = $2; cuda = $3 }
$1 == "gpu" {
    position = cards++
    on_host[position] = position
    uuid[position] = $2; name[position] = $3; total[position] = $4; capacity[position] = $5; reserved[position] = $6
    used[position] = $7; celsius[position] = $8; watts[position] = $9; limit[position] = $10; cap[position] = $11
    bus[position] = $12
    by_uuid[$2] = position
}
$1 == "process" && ($2 in by_uuid) { add_process(by_uuid[$2], $3, $4, $5) }
$1 == "compute" {
    count = split($5, of_vllm, ",")
    for (i = 1; i <= count; i++)
        if (of_vllm[i] in uuid) add_process(of_vllm[i], $2, $3, int($4 * (capacity[of_vllm[i]] - reserved[of_vllm[i]])))
}
function add_process(card, pid, what, mib) {
    process_card[processes] = card; process_pid[processes] = pid; process_name[processes] = what
    process_mib[processes++] = mib
    used[card] += mib
}

END {
    units = !in_list("nounits", compact(form)); header = !in_list("noheader", compact(form))
    for (card = 0; card < cards; card++) {
        if (chosen != "all" && !in_list(card, chosen)) continue
        shown[shown_count] = card; shown_as[card] = shown_count++
    }
    if (shown_count == 0 || (only != "" && pick(only) == 0)) {
        print "No devices were found"
        exit 6
    }
    if (mode == "gpu") query_gpu()
    else if (mode == "apps") query_apps()
    else if (mode == "list") list()
    else if (mode == "topo") topology()
    else if (mode == "version") versions()
    else table()
}

function compact(text) { gsub(/ /, "", text); return text }

# -i: by index, UUID or bus id.
function pick(wanted,    i, card, kept) {
    kept = 0
    for (i = 0; i < shown_count; i++) {
        card = shown[i]
        if (in_list(i, wanted) || in_list(uuid[card], wanted) || in_list(bus[card], wanted)) kept_cards[kept++] = card
    }
    for (i = 0; i < kept; i++) shown[i] = kept_cards[i]
    shown_count = kept
    return kept
}

function free(card) { return total[card] == "N/A" ? "N/A" : total[card] - used[card] - reserved[card] }
function shown_used(card) { return total[card] == "N/A" ? "N/A" : used[card] }

function gpu_field(field, card) {
    if (field == "index") return shown_as[card]
    if (field == "count") return shown_count
    if (field == "uuid" || field == "gpu_uuid") return uuid[card]
    if (field == "name" || field == "gpu_name") return name[card]
    if (field == "driver_version") return driver
    if (field == "compute_cap") return cap[card]
    if (field == "pci.bus_id" || field == "gpu_bus_id") return bus[card]
    if (field == "memory.total") return unit(bracket(total[card]), "MiB")
    if (field == "memory.reserved") return unit(bracket(total[card] == "N/A" ? "N/A" : reserved[card]), "MiB")
    if (field == "memory.used") return unit(bracket(shown_used(card)), "MiB")
    if (field == "memory.free") return unit(bracket(free(card)), "MiB")
    if (field == "temperature.gpu") return celsius[card]
    if (field == "power.draw" || field == "power.draw.instant") return unit(watts[card], "W")
    if (field == "power.limit" || field == "enforced.power.limit") return unit(bracket(limit[card]), "W")
    if (field == "utilization.gpu" || field == "utilization.memory") return unit(0, "%")
    if (field == "fan.speed") return limit[card] == "N/A" ? "[N/A]" : unit(30, "%")
    if (field == "persistence_mode") return "Disabled"
    if (field == "compute_mode") return "Default"
    if (field == "pstate") return "P8"
    if (field == "mig.mode.current" || field == "serial") return "[N/A]"
    if (field == "timestamp") return now
    return "unknown"
}

function heading(field) {
    if (!units) return field
    if (field ~ /^memory\./ || field == "used_memory" || field == "used_gpu_memory") return field " [MiB]"
    if (field ~ /power/) return field " [W]"
    if (field ~ /^utilization|^fan/) return field " [%]"
    return field
}

function check_fields(known,    i) {
    field_count = split(compact(wanted_fields), field, ",")
    for (i = 1; i <= field_count; i++)
        if (known == "" ? gpu_field(field[i], shown[0]) == "unknown" : !in_list(field[i], known)) {
            printf "Field \"%s\" is not a valid field to query.\n\n", field[i]
            exit 2
        }
    if (header) {
        for (i = 1; i <= field_count; i++) printf "%s%s", heading(field[i]), i < field_count ? ", " : "\n"
    }
}

function query_gpu(    i, j) {
    check_fields("")
    for (i = 0; i < shown_count; i++)
        for (j = 1; j <= field_count; j++)
            printf "%s%s", gpu_field(field[j], shown[i]), j < field_count ? ", " : "\n"
}

function app_field(what, at) {
    if (what == "pid") return process_pid[at]
    if (what == "process_name" || what == "name") return process_name[at]
    if (what ~ /^used/) return unit(process_mib[at], "MiB")
    return gpu_field(what, process_card[at])
}

function is_shown(card,    i) {
    for (i = 0; i < shown_count; i++) if (shown[i] == card) return 1
    return 0
}

function query_apps(    i, j) {
    check_fields("pid,process_name,name,used_memory,used_gpu_memory,gpu_uuid,gpu_name,gpu_bus_id,timestamp")
    for (i = 0; i < processes; i++)
        if (chosen == "all" && is_shown(process_card[i]))
            for (j = 1; j <= field_count; j++)
                printf "%s%s", app_field(field[j], i), j < field_count ? ", " : "\n"
}

function list(    i) {
    for (i = 0; i < shown_count; i++)
        printf "GPU %d: %s (UUID: %s)\n", shown_as[shown[i]], name[shown[i]], uuid[shown[i]]
}

function versions() {
    print "NVIDIA-SMI version  : " driver
    print "NVML version        : " substr(driver, 1, index(driver, ".") + 2)
    print "DRIVER version      : " driver
    print "CUDA Version        : " cuda
}

# Two cards of one machine, each on its own root port of the processor.
function topology(    i, j) {
    for (i = 0; i < shown_count; i++) printf "\tGPU%d", shown_as[shown[i]]
    print "\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID"
    for (i = 0; i < shown_count; i++) {
        printf "GPU%d", shown_as[shown[i]]
        for (j = 0; j < shown_count; j++) printf "\t%s", i == j ? " X " : "PHB"
        print "\t0-31\t0\t\tN/A"
    }
    print "\nLegend:\n"
    print "  X    = Self"
    print "  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)"
    print "  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node"
    print "  PHB  = Connection traversing PCIe as well as a PCIe Host Bridge (typically the CPU)"
    print "  PXB  = Connection traversing multiple PCIe bridges (without traversing the PCIe Host Bridge)"
    print "  PIX  = Connection traversing at most a single PCIe bridge"
    print "  NV#  = Connection traversing a bonded set of # NVLinks"
}

function repeat(text, times,    made) { while (times-- > 0) made = made text; return made }
function rule(character) {
    return "+" repeat(character, 41) "+" repeat(character, 24) "+" repeat(character, 22) "+"
}
function framed(rest) { return sprintf("| %-87s |", rest) }

function table(    i, card, memory, power) {
    print now
    print "+" repeat("-", 89) "+"
    # Since driver 600 the user-mode driver's CUDA version is told apart.
    if (driver + 0 >= 600)
        printf "| NVIDIA-SMI %-22s KMD Version: %-14s CUDA UMD Version: %-7s |\n", driver, driver, cuda
    else
        printf "| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |\n", driver, driver, cuda
    print rule("-")
    print "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |"
    print "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |"
    print "|                                         |                        |               MIG M. |"
    line = rule("="); sub(/^\+/, "|", line); sub(/\+$/, "|", line)
    print line
    for (i = 0; i < shown_count; i++) {
        card = shown[i]
        memory = total[card] == "N/A" ? "Not Supported" : sprintf("%7dMiB / %6dMiB", used[card], total[card])
        power = sprintf("%dW / %5s", watts[card], limit[card] == "N/A" ? "N/A" : int(limit[card]) "W")
        printf "| %3d  %-30.30s Off |   %16s Off | %20s |\n", shown_as[card], name[card], bus[card], "N/A"
        printf "| %3s %4dC    P8 %23s | %22s | %7s %12s |\n", limit[card] == "N/A" ? "N/A" : "30%", celsius[card], power, memory, "0%", "Default"
        printf "| %39s | %22s | %20s |\n", "", "", "N/A"
        print rule("-")
    }
    print ""
    print "+" repeat("-", 89) "+"
    print framed("Processes:")
    print framed(" GPU   GI   CI              PID   Type   Process name                        GPU Memory")
    print framed("       ID   ID                                                               Usage")
    print "|" repeat("=", 89) "|"
    lines = 0
    for (i = 0; i < processes; i++)
        if (chosen == "all" && is_shown(process_card[i])) {
            print framed(sprintf("%4d   N/A  N/A %16d      C   %-35.35s %6dMiB", shown_as[process_card[i]], process_pid[i], process_name[i], process_mib[i]))
            lines++
        }
    if (lines == 0) print framed(" No running processes found")
    print "+" repeat("-", 89) "+"
}
