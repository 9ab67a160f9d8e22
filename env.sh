# Source this: `. ./env.sh`. It puts the toolchain, the virtual environment and the state backend on this shell's
# environment, so that plain `pulumi up -s dev`, `pulumi preview` and `pulumi destroy` work as typed.
# What you have set yourself (PULUMI_BACKEND_URL, DOCKER_HOST, HF_ENDPOINT, …) stays.
if [ -f ./quickstart/environment.py ]; then
    if _pageindex_stack_exports=$(python3 -m quickstart env); then
        eval "$_pageindex_stack_exports"
    fi
    unset _pageindex_stack_exports
else
    echo "env.sh: source it from the repository's root: cd <repository> && . ./env.sh" >&2
fi
