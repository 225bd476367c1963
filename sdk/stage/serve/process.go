//go:build !wasip1

package serve

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"megabinary.dev/sdk/stage"
	"megabinary.dev/sdk/stage/stagepb"
)

// ProtocolVersion changes when stage.proto changes incompatibly. A plugin of
// another version is refused at the handshake.
const ProtocolVersion = 1

// PluginName is the name under which go-plugin knows the one service.
const PluginName = "stage"

// maxMessage limits one gRPC message, in bytes. Messages carry descriptors and
// configuration, never payloads.
const maxMessage = 64 << 20

// Handshake is what engine and plugin must agree on before they talk. The cookie
// is no secret: it keeps people from starting a plugin by hand.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   "MEGABINARY_PLUGIN",
		MagicCookieValue: "stage.v1.7d0b1a90",
	}
}

// Plugin is a set of stages that one program serves.
type Plugin struct {
	stages []stage.Stage
}

// New returns a plugin of these stages.
func New(stages ...stage.Stage) *Plugin {
	return &Plugin{stages: stages}
}

// Main serves until the engine says stop. Run by hand, it says what it is and
// exits with status 1.
func (p *Plugin) Main() { Serve(stages(p.stages)) }

// Handler answers the engine. Plugins of stages need none of their own: it is
// for a process that runs somebody else's stages.
type Handler interface {
	Describe(ctx context.Context) (*stagepb.DescribeReply, error)
	// Run runs one stage as stage.Execute does. An error, as opposed to an event
	// with a Failure, means that the plugin broke: see BrokenError.
	Run(ctx context.Context, req *stagepb.RunRequest, emit func(*stagepb.Event)) error
}

// stages is the Handler of stages in this process.
type stages []stage.Stage

func (s stages) Describe(context.Context) (*stagepb.DescribeReply, error) {
	return stage.DescribeAll(s), nil
}

func (s stages) Run(ctx context.Context, req *stagepb.RunRequest, emit func(*stagepb.Event)) error {
	stage.Execute(ctx, s, req, emit)
	return nil
}

// Serve serves h until the engine says stop.
func Serve(h Handler) {
	go exitWithParent()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{PluginName: &GRPC{handler: h}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxMessage))...)
		},
	})
}

// tempPrefix begins the name of the temporary directory that the engine makes
// for each process.
const tempPrefix = "megabin-"

// exitWithParent ends the process when the engine was killed and could not say
// stop: an orphan would hold files of the store. It removes the directory that
// the engine can no longer remove.
func exitWithParent() {
	parent := os.Getppid()
	for range time.Tick(500 * time.Millisecond) {
		if os.Getppid() != parent {
			if dir := os.TempDir(); strings.HasPrefix(filepath.Base(dir), tempPrefix) {
				os.RemoveAll(dir)
			}
			os.Exit(1)
		}
	}
}

// GRPC connects the service to go-plugin: the server's side serves a handler,
// the client's side gives a Client.
type GRPC struct {
	plugin.NetRPCUnsupportedPlugin
	handler Handler
}

// GRPCServer implements plugin.GRPCPlugin.
func (g *GRPC) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(serviceDesc(), &server{handler: g.handler})
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (g *GRPC) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &Client{conn: conn}, nil
}

// The service, as protoc-gen-go-grpc would describe it:
//
//	service Plugin {
//	  rpc Describe(DescribeRequest) returns (DescribeReply);
//	  rpc Run(RunRequest) returns (stream Event);
//	}
const (
	serviceName    = "megabinary.stage.v1.Plugin"
	methodDescribe = "/" + serviceName + "/Describe"
	methodRun      = "/" + serviceName + "/Run"
)

type service interface {
	describe(context.Context, *stagepb.DescribeRequest) (*stagepb.DescribeReply, error)
	run(*stagepb.RunRequest, grpc.ServerStream) error
}

func serviceDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*service)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Describe",
			Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := new(stagepb.DescribeRequest)
				if err := decode(in); err != nil {
					return nil, err
				}
				return srv.(service).describe(ctx, in)
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName:    "Run",
			ServerStreams: true,
			Handler: func(srv any, stream grpc.ServerStream) error {
				in := new(stagepb.RunRequest)
				if err := stream.RecvMsg(in); err != nil {
					return err
				}
				return srv.(service).run(in, stream)
			},
		}},
		Metadata: "sdk/stage/stagepb/stage.proto",
	}
}

// server answers with a handler.
type server struct {
	handler Handler
}

func (s *server) describe(ctx context.Context, _ *stagepb.DescribeRequest) (*stagepb.DescribeReply, error) {
	reply, err := s.handler.Describe(ctx)
	return reply, toStatus(err)
}

func (s *server) run(req *stagepb.RunRequest, stream grpc.ServerStream) error {
	var sendErr error
	err := s.handler.Run(stream.Context(), req, func(e *stagepb.Event) {
		if sendErr == nil {
			sendErr = stream.SendMsg(e)
		}
	})
	if err != nil {
		return toStatus(err)
	}
	return sendErr
}

// BrokenError says that a plugin cannot be used: it is damaged, or it answered
// nonsense. Any other error of a Handler is a crash.
type BrokenError struct {
	Message string
}

func (e *BrokenError) Error() string { return e.Message }

// codeBroken carries a BrokenError; gRPC itself never uses this code.
const codeBroken = codes.FailedPrecondition

func toStatus(err error) error {
	var broken *BrokenError
	if errors.As(err, &broken) {
		return status.Error(codeBroken, err.Error())
	}
	return err // gRPC makes it codes.Unknown
}

// fromStatus undoes toStatus. Errors of gRPC itself, such as a lost connection,
// stay.
func fromStatus(err error) error {
	switch s := status.Convert(err); s.Code() {
	case codeBroken:
		return &BrokenError{Message: s.Message()}
	case codes.Unknown:
		return errors.New(s.Message())
	}
	return err
}

// Client is the engine's side of the service.
type Client struct {
	conn *grpc.ClientConn
}

// Describe asks for the plugin's stages.
func (c *Client) Describe(ctx context.Context) (*stagepb.DescribeReply, error) {
	reply := new(stagepb.DescribeReply)
	if err := c.conn.Invoke(ctx, methodDescribe, new(stagepb.DescribeRequest), reply); err != nil {
		return nil, fromStatus(err)
	}
	return reply, nil
}

// Run runs one stage and hands on its events, without the last, which it returns.
func (c *Client) Run(ctx context.Context, req *stagepb.RunRequest, on func(*stagepb.Event)) (*stagepb.Result, error) {
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "Run", ServerStreams: true}, methodRun,
		grpc.MaxCallRecvMsgSize(maxMessage))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(req); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		e := new(stagepb.Event)
		if err := stream.RecvMsg(e); errors.Is(err, io.EOF) {
			return nil, &BrokenError{Message: "it gave neither a result nor a failure"}
		} else if err != nil {
			return nil, fromStatus(err)
		}
		switch of := e.Of.(type) {
		case *stagepb.Event_Result:
			return of.Result, nil
		case *stagepb.Event_Failure:
			return nil, &StageError{Message: of.Failure.GetMessage()}
		case nil:
			return nil, status.Error(codes.Internal, "the plugin sent an event without content")
		default:
			on(e)
		}
	}
}

// StageError is an error that the stage itself returned, as opposed to a plugin
// that broke.
type StageError struct {
	Message string
}

func (e *StageError) Error() string { return e.Message }
