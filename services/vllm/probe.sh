# Health of a vLLM replica: it has generated a token since it started, and it still answers.
# /health alone is 200 while nothing can be generated. The key comes from a file, so that no command line holds it.
set -eu
here=http://127.0.0.1:8000
generated=/tmp/has-generated
if [ -e "$generated" ]; then
    exec curl -fsS -o /dev/null --max-time 5 "$here/health"
fi
curl -fsS -o /dev/null --max-time 2 "$here/health"
curl -fsS --max-time 25 -H @/run/pageindex-stack/auth-header -H 'Content-Type: application/json' \
    -d '{{body}}' "$here{{path}}" |
    grep -q '{{sign}}'
touch "$generated"
