package artifact

import "strings"

// The media types of an image's own parts.
const (
	MediaOCIIndex         = "application/vnd.oci.image.index.v1+json"
	MediaOCIManifest      = "application/vnd.oci.image.manifest.v1+json"
	MediaOCIConfig        = "application/vnd.oci.image.config.v1+json"
	MediaOCILayer         = "application/vnd.oci.image.layer.v1.tar"
	MediaOCILayerGzip     = "application/vnd.oci.image.layer.v1.tar+gzip"
	MediaOCILayerZstd     = "application/vnd.oci.image.layer.v1.tar+zstd"
	MediaDockerIndex      = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaDockerManifest   = "application/vnd.docker.distribution.manifest.v2+json"
	MediaDockerConfig     = "application/vnd.docker.container.image.v1+json"
	MediaDockerLayer      = "application/vnd.docker.image.rootfs.diff.tar"
	MediaDockerLayerGzip  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	MediaDockerLayerZstd  = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	AnnotationMegabinary  = "dev.megabinary.megabinary" // manifest: digest of the megabinary
	AnnotationExecMap     = "dev.megabinary.execmap"    // manifest: digest of the exec map
	AnnotationExecMapRoot = "dev.megabinary.execmap.root"
	// Of the name and number of the exec map, if it has a name.
	AnnotationExecMapName     = "dev.megabinary.execmap.name"
	AnnotationExecMapSequence = "dev.megabinary.execmap.sequence"
	AnnotationABI             = "dev.megabinary.abi" // manifest: guestabi.Version
	PathMegabinary            = "/.megabinary/megabinary.wasm"
	PathExecMap               = "/.megabinary/execmap.json"
	PathObjects               = "/.megabinary/native" // see PathObject
	AnnotationBaseDigest      = "org.opencontainers.image.base.digest"
	AnnotationBaseName        = "org.opencontainers.image.base.name"
	AnnotationImageRefName    = "org.opencontainers.image.ref.name"
)

// Part is what a blob is in an image.
type Part string

// The parts of an image.
const (
	PartManifest Part = "manifest"
	PartConfig   Part = "config"
	PartLayer    Part = "layer"
)

// PartOf says what a media type is in an image; "" if it is no part of one.
func PartOf(mediaType string) Part {
	switch mediaType {
	case MediaOCIManifest, MediaDockerManifest:
		return PartManifest
	case MediaOCIConfig, MediaDockerConfig:
		return PartConfig
	case MediaOCILayer, MediaOCILayerGzip, MediaOCILayerZstd,
		MediaDockerLayer, MediaDockerLayerGzip, MediaDockerLayerZstd:
		return PartLayer
	}
	return ""
}

// ImageTypes returns the media types of manifest, configuration and layers. A
// stage that takes an image takes them all; an image has some of them.
func ImageTypes() []string {
	return []string{
		MediaOCIManifest, MediaDockerManifest, MediaOCIConfig, MediaDockerConfig,
		MediaOCILayer, MediaOCILayerGzip, MediaOCILayerZstd,
		MediaDockerLayer, MediaDockerLayerGzip, MediaDockerLayerZstd,
	}
}

// PathObject is where an object lies in an image.
func PathObject(platform, digest string) string {
	return PathObjects + "/" + strings.ReplaceAll(platform, "/", "-") + "/" + strings.TrimPrefix(digest, "sha256:") + ".so"
}
