FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /rotator ./cmd/rotator

FROM debian:stable-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home rotator \
 && install -d -o rotator -m 0700 /var/lib/keyring
COPY --from=build /rotator /usr/local/bin/rotator
USER rotator
WORKDIR /home/rotator
CMD ["rotator", "worker"]
