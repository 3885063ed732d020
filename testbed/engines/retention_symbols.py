"""The parts of vLLM that retention relies on beside the scheduler's; each is looked up, none is promised."""

from testbed.engines.vllm_symbols import Symbol, members

MANAGERS = "vllm.v1.core.single_type_kv_cache_manager"
INTERFACE = "vllm.v1.kv_cache_interface"

RETENTION_SYMBOLS: tuple[Symbol, ...] = (
    Symbol("vllm.v1.attention.backends.registry", "register_backend"),
    *members("vllm.v1.attention.backends.registry", "AttentionBackendEnum", "CPU_ATTN"),
    Symbol("vllm.v1.kv_cache_spec_registry", "KVCacheSpecRegistry._ensure_registered"),
    Symbol(
        "vllm.v1.kv_cache_spec_registry",
        "KVCacheSpecRegistry.register",
        ("kvcache_spec_cls", "manager_class", "uniform_type_base_spec"),
    ),
    Symbol("vllm.v1.attention.backend", "AttentionBackend.customize_spec", ("spec",)),
    *members(
        "vllm.v1.attention.backend",
        "CommonAttentionMetadata",
        "query_start_loc_cpu",
        "seq_lens",
        "num_reqs",
        "max_seq_len",
        "block_table_tensor",
    ),
    Symbol("vllm.v1.attention.backends.cpu_attn", "CPUAttentionBackend.get_impl_cls"),
    Symbol("vllm.v1.attention.backends.cpu_attn", "CPUAttentionBackend.get_builder_cls"),
    Symbol("vllm.v1.attention.backends.cpu_attn", "CPUAttentionBackendImpl.__init__"),
    Symbol(
        "vllm.v1.attention.backends.cpu_attn",
        "CPUAttentionMetadataBuilder.__init__",
        ("kv_cache_spec", "layer_names", "vllm_config"),
    ),
    Symbol(
        "vllm.v1.attention.backends.cpu_attn",
        "CPUAttentionMetadataBuilder.build",
        ("common_prefix_len", "common_attn_metadata", "fast_build"),
    ),
    Symbol("vllm.v1.attention.backends.cpu_attn", "_get_attn_isa", ("dtype", "block_size", "head_size")),
    *members(
        INTERFACE,
        "FullAttentionSpec",
        "sliding_window",
        "attention_chunk_size",
        "non_causal",
        "max_memory_usage_bytes",
        "merge",
    ),
    *members(INTERFACE, "AttentionSpec", "num_kv_heads", "head_size", "dtype"),
    Symbol(MANAGERS, "FullAttentionManager"),
    Symbol(
        MANAGERS, "SingleTypeKVCacheManager.get_num_blocks_to_allocate", ("request_id", "apply_admission_cap")
    ),
    Symbol(
        MANAGERS,
        "SingleTypeKVCacheManager.remove_skipped_blocks",
        ("request_id", "processed_computed_tokens", "num_prompt_tokens"),
    ),
    Symbol(
        MANAGERS,
        "SingleTypeKVCacheManager._remove_blocks_in_range",
        ("request_id", "first_block", "last_block"),
    ),
    Symbol(MANAGERS, "SingleTypeKVCacheManager.pop_blocks_for_free", ("request_id",)),
    Symbol(MANAGERS, "SingleTypeKVCacheManager.cache_blocks", ("request",)),
    *members(MANAGERS, "SingleTypeKVCacheManager", "block_pool", "max_admission_blocks_per_request"),
    Symbol("vllm.v1.core.sched.scheduler", "Scheduler._free_blocks", ("request",)),
    Symbol("vllm.v1.core.sched.scheduler", "Scheduler.make_stats"),
    *members("vllm.v1.core.kv_cache_manager", "KVCacheManager", "enable_caching"),
    *members("vllm.v1.metrics.stats", "SchedulerStats", "prefix_cache_stats"),
    *members("vllm.v1.metrics.stats", "BaseCacheStats", "queries", "hits"),
    *members(
        "vllm.v1.request",
        "Request",
        "skip_reading_prefix_cache",
        "sampling_params",
        "num_prompt_tokens",
        "max_tokens",
        "resumable",
    ),
    *members("vllm.v1.core.sched.output", "NewRequestData", "req_id", "sampling_params"),
    *members("vllm.v1.core.sched.output", "SchedulerOutput", "finished_req_ids", "scheduled_new_reqs"),
    *members("vllm.sampling_params", "SamplingParams", "extra_args"),
    Symbol("vllm.v1.worker.cpu_worker", "CPUWorker"),
    Symbol("vllm.v1.worker.gpu_worker", "Worker.execute_model", ("scheduler_output",)),
    Symbol("vllm.v1.worker.gpu_worker", "Worker.load_model"),
    *members("vllm.v1.worker.gpu_model_runner", "GPUModelRunner", "input_batch"),
    *members("vllm.v1.worker.gpu_input_batch", "InputBatch", "req_ids"),
    *members("vllm.config.compilation", "CompilationConfig", "static_forward_context"),
    Symbol("vllm.distributed.parallel_state", "get_tensor_model_parallel_rank"),
)
