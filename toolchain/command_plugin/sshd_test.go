package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	sshdPath    = "/usr/sbin/sshd"
	keyPassword = "correct horse"
)

// sshd is Debian's SSH server on a loopback port, with keys of its own, for the user who runs the tests.
type sshd struct {
	*testing.T
	dir     string
	port    int
	hostKey string // as a public key file has it
	user    string
	launch  []string // what starts it, in front of its own command line
	process *exec.Cmd
	log     lockedBuffer
}

type keyPair struct {
	private any
	pem     string
	locked  string // the same key, encrypted with keyPassword
	public  string
}

func newKey(t *testing.T) keyPair {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(keyPassword))
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{
		private, string(pem.EncodeToMemory(plain)), string(pem.EncodeToMemory(locked)),
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))),
	}
}

// rsaHostKey is made once, because that takes most of a second.
var rsaHostKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
})

// prepareSSHD writes everything, and starts nothing yet.
func prepareSSHD(t *testing.T, client keyPair, settings ...string) *sshd {
	t.Helper()
	if _, err := os.Stat(sshdPath); err != nil {
		t.Fatalf("these tests need a real SSH server: apt-get install -y openssh-server (%v)", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshd{T: t, dir: t.TempDir(), port: freePort(t), user: me.Username}
	host := newKey(t)
	s.hostKey = host.public
	// A second kind of key, which a server offers first: only the expected kind must be asked for.
	s.write("host_rsa", rsaHostKey())
	s.write("host", host.pem)
	s.write("authorized_keys", client.public+"\n")
	openToAll(t, filepath.Join(s.dir, "authorized_keys"), 0o644) // read as the user who logs in
	s.write("config", strings.Join(append([]string{
		fmt.Sprintf("Port %d", s.port),
		"ListenAddress 127.0.0.1",
		"HostKey " + filepath.Join(s.dir, "host_rsa"),
		"HostKey " + filepath.Join(s.dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized_keys"),
		"PidFile none",
		"StrictModes no", // the test's folder lies below a folder that anybody may write to
		"UsePAM no",
		"PermitRootLogin prohibit-password",
		"PasswordAuthentication no",
		"Subsystem sftp internal-sftp",
	}, settings...), "\n")+"\n")
	return s
}

func startSSHD(t *testing.T, client keyPair, settings ...string) *sshd {
	t.Helper()
	s := prepareSSHD(t, client, settings...)
	s.start()
	eventually(t, "sshd answers", s.answers)
	return s
}

// startSSHDForTester lets a user log in who isn't root. Root's tests make that account up in a mount namespace, where
// only this server sees it.
func startSSHDForTester(t *testing.T, client keyPair) *sshd {
	t.Helper()
	s := prepareSSHD(t, client)
	if os.Geteuid() == 0 {
		s.user = "tester"
		s.write("passwd", "root:x:0:0::/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/bin/false\ntester:x:2222:2222::/:/bin/sh\n")
		s.write("shadow", "root:*:1::::::\ntester:*:1::::::\n")
		mount := "for f in passwd shadow; do mount --bind " + s.dir + "/$f /etc/$f; done; chmod 644 /etc/passwd; exec \"$@\""
		s.launch = []string{"unshare", "--mount", "sh", "-ec", mount, "sh"}
	}
	s.start()
	eventually(t, "sshd answers", s.answers)
	return s
}

func (s *sshd) start() {
	s.Helper()
	if os.Geteuid() == 0 {
		// The server separates its privileges in this folder; Debian's service makes it at each start.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			s.Fatal(err)
		}
	}
	command := append(s.launch, sshdPath, "-D", "-e", "-f", filepath.Join(s.dir, "config"))
	s.process = exec.Command(command[0], command[1:]...)
	s.process.Stderr = &s.log
	if err := s.process.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = s.process.Process.Signal(syscall.SIGTERM)
		_ = s.process.Wait()
		if s.Failed() {
			s.Log(s.log.String())
		}
	})
}

func (s *sshd) answers() bool {
	conn, err := net.Dial("tcp", s.address())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func (s *sshd) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *sshd) write(name, content string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
}

// openToAll lets other users reach a file or folder of the test's.
func openToAll(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	// Go keeps the folder that holds all of a test's folders to itself.
	for above := filepath.Dir(path); above != filepath.Clean(os.TempDir()); above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// connection is what a program would write; more properties, such as the key, come from the caller.
func (s *sshd) connection(more props) props {
	s.Helper()
	all := props{
		"host": text("127.0.0.1"), "port": property.New(float64(s.port)), "user": text(s.user),
		"dialErrorLimit": property.New(0.0),
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

func (s *sshd) with(key keyPair) property.Value {
	s.Helper()
	return property.New(s.connection(props{"privateKey": text(key.pem)}))
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// serve answers every connection until the test ends.
func serve(t *testing.T, listener net.Listener, answer func(net.Conn)) {
	t.Helper()
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
}

// startAgent serves the key on a socket, as `ssh-agent` does.
func startAgent(t *testing.T, key keyPair) string {
	t.Helper()
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: key.private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, func(conn net.Conn) { _ = agent.ServeAgent(keys, conn) })
	return socket
}

// startPasswordServer plays a host that takes only a password, in one of SSH's two ways. A real account with a known
// password is nothing that a test should make.
func startPasswordServer(t *testing.T, password string, asQuestion bool) int {
	t.Helper()
	config := &ssh.ServerConfig{}
	accept := func(given string) (*ssh.Permissions, error) {
		if given != password {
			return nil, fmt.Errorf("wrong password")
		}
		return nil, nil
	}
	if asQuestion {
		config.KeyboardInteractiveCallback = func(
			_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge,
		) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			return accept(answers[0])
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			return accept(string(given))
		}
	}
	signer, err := ssh.NewSignerFromKey(newKey(t).private)
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, listener, func(conn net.Conn) { servePassword(conn, config) })
	return listener.Addr().(*net.TCPAddr).Port
}

// servePassword answers every command with the word "welcome".
func servePassword(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for newChannel := range channels {
		channel, requests, err := newChannel.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			_ = request.Reply(true, nil)
			if request.Type == "exec" {
				_, _ = bytes.NewBufferString("welcome\n").WriteTo(channel)
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				channel.Close()
			}
		}
	}
}
