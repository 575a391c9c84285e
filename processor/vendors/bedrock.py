"""AWS Bedrock: Converse before all its models, signed requests or API keys, a host for each region."""

from __future__ import annotations

from processor.auth.sigv4 import SigV4
from processor.dialects.bedrock_converse import BedrockConverse
from processor.dialects.bedrock_embeddings import BedrockEmbeddings
from processor.domain import Operation
from processor.vendors._vendor import Vendor

VENDOR = Vendor(
    name="bedrock",
    origin="https://bedrock-runtime.us-east-1.amazonaws.com",
    env=("AWS_BEARER_TOKEN_BEDROCK",),
    auth=SigV4(service="bedrock"),
    aliases=("aws",),
    otel_name="aws.bedrock",
    models=(
        "us.anthropic.claude-sonnet-4-6",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "us.amazon.nova-2-lite-v1:0",
        "us.amazon.nova-pro-v1:0",
        "openai.gpt-oss-120b-1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
    ),
    operations={
        Operation.CHAT: BedrockConverse(),
        Operation.EMBEDDINGS: BedrockEmbeddings(),
    },
)
