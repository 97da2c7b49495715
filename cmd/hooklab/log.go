package main

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// logLevel is the flag --log-level.
type logLevel zapcore.Level

const defaultLogLevel = logLevel(zapcore.WarnLevel)

func logLevels() []string { return []string{"debug", "info", "warn", "error"} }

// String is the level's name.
func (l *logLevel) String() string { return zapcore.Level(*l).String() }

// Set takes one of logLevels.
func (l *logLevel) Set(name string) error {
	if !slices.Contains(logLevels(), name) {
		return fmt.Errorf("allowed: %s", strings.Join(logLevels(), ", "))
	}
	return (*zapcore.Level)(l).Set(name)
}

// Type is what the help text calls the flag's value.
func (l *logLevel) Type() string { return "LEVEL" }

// newLogger makes the logger of a process: lines of text with zap behind it.
func newLogger(w io.Writer, l logLevel) *slog.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	enc.EncodeLevel = zapcore.LowercaseLevelEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(zapcore.AddSync(w)), zapcore.Level(l))
	return slog.New(zapslog.NewHandler(core))
}
