<?php

declare(strict_types=1);

namespace App\Http;

/** A request as far as it matters here. In Laravel: Illuminate\Http\Request. */
final class Request
{
    private const LARGEST = 1 << 20;

    /** @param array<string, string> $headers */
    public function __construct(private array $headers, public readonly string $content)
    {
        $this->headers = array_change_key_case($headers);
    }

    public function header(string $name): string
    {
        return $this->headers[$name] ?? '';
    }

    /** The body as it came, cut off after 1 MiB: a longer one fails its signature. */
    public static function body(): string
    {
        return (string) file_get_contents('php://input', length: self::LARGEST);
    }
}
