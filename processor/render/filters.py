"""The upstream filter chain of composite clusters, and how a route switches the listener's filters on."""

from __future__ import annotations

import datetime as dt
from functools import cache

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation as Mutation
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutationRules
from envoy_data_plane.envoy.config.core.v3 import (
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    ExtProcOverrides,
    ExtProcPerRoute,
    MetadataOptions,
    MetadataOptionsMetadataNamespaces,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation,
    HeaderMutationPerRoute,
    Mutations,
)
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import Any

from processor import names
from processor.render.plain import Plain, plain

_MESSAGE_TIMEOUT = dt.timedelta(seconds=30)  # Envoy's 200 ms is shorter than a garbage collection under load


def upstream_filters() -> list[HttpFilter]:
    """Translate (once an attempt), give the new body its length, send."""
    return [
        HttpFilter(name=names.UPSTREAM_FILTER, typed_config=Any.pack(_translate())),
        HttpFilter(name="gateway.content_length", typed_config=Any.pack(_content_length())),
        HttpFilter(name="envoy.filters.http.upstream_codec", typed_config=Any.pack(UpstreamCodec())),
    ]


@cache
def switched_on(filter_name: str) -> Plain:
    """The per-route configuration that enables a filter the listener keeps disabled."""
    per_route = (
        HeaderMutationPerRoute(mutations=Mutations())
        if filter_name == names.PASSTHROUGH_HEADERS_FILTER
        else ExtProcPerRoute(overrides=ExtProcOverrides())
    )
    return {filter_name: plain(Any.pack(FilterConfig(config=Any.pack(per_route))))}


@cache
def relaying() -> Plain:
    """The per-route configuration that takes a response's body through the relay."""
    mode = ProcessingMode(
        request_header_mode=ProcessingModeHeaderSendMode.SKIP,
        response_header_mode=ProcessingModeHeaderSendMode.SKIP,
        response_body_mode=ProcessingModeBodySendMode.FULL_DUPLEX_STREAMED,
        response_trailer_mode=ProcessingModeHeaderSendMode.SEND,
    )
    per_route = ExtProcPerRoute(overrides=ExtProcOverrides(processing_mode=mode))
    return {names.RELAY_FILTER: plain(Any.pack(FilterConfig(config=Any.pack(per_route))))}


def _translate() -> ExternalProcessor:
    send, no_body = ProcessingModeHeaderSendMode.SEND, ProcessingModeBodySendMode.NONE
    namespaces = MetadataOptionsMetadataNamespaces(untyped=[names.RECORD_NAMESPACE, names.WIRE_NAMESPACE])
    return ExternalProcessor(
        grpc_service=GrpcService(
            envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=names.PROCESSOR_CLUSTER),
            timeout=dt.timedelta(),
            initial_metadata=[
                HeaderValue(key=names.STREAM_FILTER, value=names.UPSTREAM_FILTER),
                # Not from the header: the first attempt has removed it before the second one begins.
                HeaderValue(key=names.STREAM_REQUEST_ID, value=names.REQUEST_ID_FORMAT),
            ],
        ),
        message_timeout=_MESSAGE_TIMEOUT,
        processing_mode=ProcessingMode(
            request_header_mode=send,
            request_body_mode=no_body,
            response_header_mode=send,
            response_body_mode=ProcessingModeBodySendMode.FULL_DUPLEX_STREAMED,
            response_trailer_mode=send,
        ),
        # x-envoy-external-address is the client's address, and not the vendor's business.
        mutation_rules=HeaderMutationRules(allow_all_routing=True, allow_envoy=True),
        metadata_options=MetadataOptions(receiving_namespaces=namespaces),
        request_attributes=[names.ATTEMPT_ATTRIBUTE, names.PROVIDER_ATTRIBUTE],
        # The processor sends the translated body's own length, or none.
        allow_content_length_header=True,
    )


def _content_length() -> HeaderMutation:
    """CONTINUE_AND_REPLACE drops the length, and some vendors refuse chunked requests."""
    length = HeaderValueOption(
        header=HeaderValue(
            key="content-length", value=f"%DYNAMIC_METADATA({names.WIRE_NAMESPACE}:{names.CONTENT_LENGTH_KEY})%"
        ),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return HeaderMutation(mutations=Mutations(request_mutations=[Mutation(append=length)]))
